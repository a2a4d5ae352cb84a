"""Everything that can be said about files: read, converted from old formats, validated, analysed.

The one way in for ``meshctl analyze``, the grader and the notebooks; every problem carries the
repair that ``meshctl fix`` has for its line.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mesh.istio.analyze import analyze
from mesh.istio.document import decode, parse
from mesh.istio.envelope import KIND
from mesh.istio.eras import Era
from mesh.istio.fix.suggest import with_fixes
from mesh.istio.legacy import convert
from mesh.istio.legacy import problem as legacy_problem
from mesh.istio.load import Loaded, load_paths, load_text
from mesh.istio.problem import MAX_IN_FILE, Problem
from mesh.istio.resource import Resource
from mesh.istio.validate import validate
from mesh.topology import Topology


def check_paths(
    paths: Iterable[str | Path],
    *,
    era: Era,
    namespace: str = "default",
    services: Topology | None = None,
) -> Loaded:
    """Return what files and folders hold and all problems, in the order of files and lines."""
    loaded = load_paths(paths, era=era, namespace=namespace)
    texts = {each.position.file: _text(each.position.file) for each in loaded.problems}
    return check(loaded, texts, era=era, namespace=namespace, services=services)


def check_text(
    text: str,
    file: str = "",
    *,
    era: Era,
    namespace: str = "default",
    services: Topology | None = None,
) -> Loaded:
    """As ``check_paths``, for one text."""
    loaded = load_text(text, file, era=era, namespace=namespace)
    return check(loaded, {file: text}, era=era, namespace=namespace, services=services)


def check(
    loaded: Loaded,
    texts: dict[str, str],
    *,
    era: Era,
    namespace: str = "default",
    services: Topology | None = None,
) -> Loaded:
    """Convert, validate and analyse what was loaded; ``texts`` are the files that have problems."""
    resources, problems = list(loaded.resources), list(loaded.problems)
    for file in {each.position.file for each in problems if each.code == KIND}:
        _convert(texts.get(file, ""), file, era, namespace, resources, problems)
    problems += validate(resources, era)
    problems += analyze(resources, era, services)
    found: list[Problem] = []
    for file in sorted({each.position.file for each in problems}):
        own = [each for each in problems if each.position.file == file]
        text = texts.get(file) or _text(file)
        found += with_fixes(own, text, file, era) if text else own
    found.sort(key=lambda each: (each.position.file, each.position.line, each.position.column))
    return Loaded(resources, found)


def _convert(
    text: str,
    file: str,
    era: Era,
    namespace: str,
    resources: list[Resource],
    problems: list[Problem],
) -> None:
    """Load the documents of a legacy format as what they mean, and say so instead of refusing."""
    answered: set[int] = set()
    found: list[Problem] = []
    for document in parse(text, file)[0]:
        converted = convert(document, era)
        if converted is None:
            continue
        answered.update(range(document.line, document.line + document.text.count("\n") + 1))
        found.append(legacy_problem(document, converted, file))
        part = load_text(converted.text, f"{file} (converted)", era=era, namespace=namespace)
        resources += part.resources
        found += part.problems
        if len(found) > MAX_IN_FILE:
            break
    problems[:] = [
        each
        for each in problems
        if each.position.file != file or each.position.line not in answered
    ]
    problems += found


def _text(file: str) -> str:
    try:
        return decode(Path(file).read_bytes(), file)[0] if file else ""
    except OSError:
        return ""
