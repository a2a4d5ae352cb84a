"""``meshctl diff OLD NEW``: what a change of configuration would do, before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.commands.common import check_output, done, print_json, print_problems
from mesh.commands.errors import REFUSED, UserError
from mesh.commands.offline import (
    EraName,
    Lab,
    Namespace,
    TopologyFile,
    era_and_topology,
    existing,
)

if TYPE_CHECKING:
    from mesh.istio.eras import Era
    from mesh.istio.resource import Resource
    from mesh.topology import Topology
    from mesh.workbench.questions import Question
    from mesh.workbench.trial import Difference
    from mesh.workbench.xds_diff import Change

MAX_LINES = 40
"""How many lines of one resource's difference are shown, unless --xds asks for all."""


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A file or folder of YAML.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The same after the change.")],
    stays: Annotated[
        list[Path] | None,
        typer.Option("--with", metavar="PATH", help="What is there before and after the change."),
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option("--requests", metavar="FILE", help="Requests to ask, beside the kit's own."),
    ] = None,
    run: Annotated[
        str, typer.Option("--run", metavar="ENGINE", help="Send them too: mitmproxy, envoy, both.")
    ] = "",
    times: Annotated[int, typer.Option("--times", min=1, max=10_000, help="With --run.")] = 100,
    xds: Annotated[bool, typer.Option("--xds", help="Show the changed xDS in full.")] = False,
    era: EraName = "",
    lab: Lab = None,
    topology: TopologyFile = None,
    namespace: Namespace = "tutorial",
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
) -> None:
    """Show the changed xDS of every proxy, and every request that is answered otherwise."""
    from mesh.testbed.load_topology import standard_topology
    from mesh.workbench.questions import questions_of

    check_output(output)
    if run not in ("", "mitmproxy", "envoy", "both"):
        raise UserError(f"there is no engine {run!r}: choose mitmproxy, envoy or both")
    first, second = [*(stays or []), old], [*(stays or []), new]
    existing([*first, *second])
    release, services = era_and_topology(era, lab, topology)
    wanted = services or standard_topology()
    before = _load(first, release, wanted, namespace)
    after = _load(second, release, wanted, namespace)
    changes = _changes(before, after, wanted, release)
    found = questions_of([*before, *after], wanted)
    for each in _read(requests):
        found.add(each)
    answers = _answers(found.asked, before, after, wanted, release)
    trials = _trial(run, first, second, wanted, release, found.asked, times) if run else []
    if output == "json":
        print_json(_plain(changes, answers, trials, found.notes))
        return
    _print_changes(changes, all_of_it=xds)
    print(f"\n{len(answers)} of {len(found.asked)} requests are routed otherwise")
    for question, was, now in answers:
        print(f"\n  {question}")
        print("\n".join(f"    - {line}" for line in was))
        print("\n".join(f"    + {line}" for line in now))
    for difference in trials:
        print(f"\n  {difference.question}   (sent {times} times, {difference.engine})")
        print(f"    - {_counts(difference.before)}\n    + {_counts(difference.after)}")
    if run and not trials:
        done(f"{len(found.asked)} requests, {times} times each: answered as before")
    for note in found.notes:
        print(f" • {note}")


def _load(paths: list[Path], era: Era, topology: Topology, namespace: str) -> list[Resource]:
    from mesh.istio import validate
    from mesh.istio.load import load_paths, load_text
    from mesh.istio.problem import has_errors
    from mesh.testbed.load_topology import ingress_yaml

    loaded = load_paths(paths, era=era, namespace=namespace)
    problems = [*loaded.problems, *validate(loaded.resources, era)]
    if has_errors(problems):
        print_problems(problems)
        raise typer.Exit(REFUSED)
    ingress = load_text(ingress_yaml(topology), "ingress.yaml", era=era).resources
    return [*ingress, *loaded.resources]


def _changes(
    old: list[Resource], new: list[Resource], topology: Topology, era: Era
) -> list[Change]:
    from mesh.commands.dry_run import snapshots
    from mesh.workbench.xds_diff import compare

    return compare(snapshots(old, topology, era), snapshots(new, topology, era))


def _read(file: Path | None) -> list[Question]:
    import yaml

    from mesh.workbench.questions import QuestionError, read_questions

    if file is None:
        return []
    existing([file])
    try:
        return read_questions(yaml.safe_load(file.read_text(encoding="utf-8")), str(file))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
        raise UserError(f"{place}: {getattr(error, 'problem', None) or error}") from None
    except (QuestionError, UnicodeDecodeError) as error:
        raise UserError(str(error)) from None


def _answers(
    asked: list[Question],
    old: list[Resource],
    new: list[Resource],
    topology: Topology,
    era: Era,
) -> list[tuple[Question, list[str], list[str]]]:
    from mesh.commands import dry_run

    found = []
    for each in asked:
        request = dry_run.Request(each.url, each.method, dict(each.headers), each.source)
        was = _outcome(request, old, topology, era)
        now = _outcome(request, new, topology, era)
        if was != now:
            found.append((each, was, now))
    return found


def _outcome(request: Any, resources: list[Resource], topology: Topology, era: Era) -> list[str]:
    from mesh.commands import dry_run

    try:
        return list(dry_run.explain(request, resources, topology, era)["outcome"])
    except UserError as error:
        return [str(error)]


def _trial(
    engine: str,
    old: list[Path],
    new: list[Path],
    topology: Topology,
    era: Era,
    asked: list[Question],
    times: int,
) -> list[Difference]:
    from mesh.testbed.documents import documents
    from mesh.testbed.local import LocalTestbed
    from mesh.workbench import trial

    engines = ["mitmproxy", "envoy"] if engine == "both" else [engine]

    def start(name: str) -> LocalTestbed:
        return LocalTestbed(topology, engine=name, era=era.name)

    _, found = trial.run(start, engines, documents(old), documents(new), asked, times)
    return found


def _counts(seen: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {answer}" for answer, count in sorted(seen.items()))


def _print_changes(changes: list[Change], *, all_of_it: bool) -> None:
    if not changes:
        done("no proxy is sent anything else")
    for each in changes:
        print(f"{each.type} {each.name}: {each.kind} at {', '.join(each.proxies)}")
        lines = each.diff().splitlines()
        shown = lines if all_of_it else lines[:MAX_LINES]
        print("\n".join(f"    {line}" for line in shown))
        if len(shown) < len(lines):
            print(f"    ... {len(lines) - len(shown)} more lines (--xds shows them)")


def _plain(
    changes: list[Change],
    answers: list[tuple[Question, list[str], list[str]]],
    trials: list[Difference],
    notes: list[str],
) -> dict[str, Any]:
    return {
        "xds": [
            {
                "type": each.type,
                "name": each.name,
                "kind": each.kind,
                "proxies": list(each.proxies),
                "diff": each.diff(),
            }
            for each in changes
        ],
        "requests": [
            {"request": str(question), "old": was, "new": now} for question, was, now in answers
        ],
        "trials": [
            {
                "request": str(each.question),
                "engine": each.engine,
                "old": dict(each.before),
                "new": dict(each.after),
            }
            for each in trials
        ],
        "notes": notes,
    }
