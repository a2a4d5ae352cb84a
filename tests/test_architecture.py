"""The order of the modules (docs/architecture.md), and what every module owes its readers."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for top in ("mesh", "grader", "services") for path in (ROOT / top).rglob("*.py")
)

GROUND = {
    "mesh.lean",
    "mesh.redact",
    "mesh.topology",
    "mesh.accesslog",
    "mesh.istio.problem",
    "mesh.state",
    "mesh.unixhttp",
    "mesh.stats_tags",
}
ISTIO = GROUND | {"mesh.istio"}
PILOT = ISTIO | {"mesh.pilot"}
# What a part may import, beside itself; the first entry that fits a module counts.  A part may
# know a neighbour's types, which is written down here module by module.
ALLOWED: dict[str, set[str]] = {
    "mesh.lean": set(),
    "mesh.topology": set(),
    "mesh.accesslog": set(),
    "mesh.redact": set(),
    "mesh.state": set(),
    "mesh.unixhttp": set(),
    "mesh.stats_tags": set(),
    "mesh.istio.problem": set(),
    "mesh.istio": GROUND,
    "mesh.pilot": ISTIO | {"mesh.citadel", "services.lifeline"},
    "mesh.citadel": GROUND,
    "mesh.agent": GROUND,
    "mesh.mixer": ISTIO | {"services.lifeline"},
    # How a child process begins and ends, and who a proxy is, is known to both its ends.
    "mesh.sidecar": {*GROUND, "mesh.agent", "services.lifeline"},
    "mesh.envoy": {*GROUND, "mesh.agent", "services.lifeline"},
    "services": set(),
    "mesh.testbed": PILOT
    | {
        "mesh.kubernetes",
        "mesh.agent",
        "mesh.citadel",
        "mesh.mixer",
        "mesh.envoy",
        "mesh.sidecar",
        "services",
    },
    "mesh.conformance": PILOT | {"mesh.citadel", "mesh.mixer", "mesh.testbed"},
    "mesh.kubernetes": ISTIO,
    "mesh.workbench": PILOT | {"mesh.mixer", "mesh.testbed"},
    "mesh.doctor": set(),
    "mesh.commands": PILOT
    | {"mesh.agent", "mesh.sidecar", "mesh.testbed", "mesh.conformance", "mesh.doctor"}
    | {"mesh.console", "mesh.kubernetes", "mesh.mixer", "mesh.workbench"},
    "mesh.console": {*PILOT, "mesh.mixer", "mesh.testbed", "mesh.workbench", "grader"},
    "mesh.notebook": {*PILOT, "mesh.mixer", "mesh.testbed", "mesh.console", "grader"},
    "mesh.cli": {"mesh.commands"},
    "mesh.bench": PILOT
    | {"mesh.mixer", "mesh.testbed", "mesh.envoy", "mesh.sidecar", "services", "grader"},
    "grader": PILOT | {"mesh.citadel", "mesh.mixer", "mesh.testbed", "services.lifeline"},
}
LOCUST = {"grader/load/driver.py", "grader/load/crew.py", "grader/load/worker.py"}


def module_name(path: Path) -> str:
    """``mesh/pilot/__init__.py`` -> ``mesh.pilot``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module of the kit that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # a lab's checks import what stands beside them, and nobody else does
                assert path.is_relative_to(ROOT / "labs"), f"{path}:{node.lineno}: relative import"
                assert path.with_name(f"{node.module}.py").is_file(), f"{path}:{node.lineno}"
                continue
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield name, node.lineno


def within(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def part_of(module: str) -> str:
    return next((part for part in ALLOWED if within(module, part)), "")


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_go_downwards(path: Path) -> None:
    part = part_of(module_name(path))
    if module_name(path) in ("mesh", ""):
        return
    assert part, f"{path}: give this part of the kit a row in ALLOWED and in docs/architecture.md"
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for name, line in imported(path)
        if name.partition(".")[0] in ("mesh", "grader", "services")
        and not any(within(name, each) for each in {part, *ALLOWED[part]})
    ]
    assert wrong == []


def test_the_rows_are_those_of_the_documentation() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:mesh\.\w+(?:\.\w+)?)|services|grader)`", text))
    missing = {part for part in ALLOWED if not any(within(part, name) for name in named)}
    assert missing <= {"mesh.doctor", "mesh.commands", "mesh.bench"}


def test_only_the_driver_imports_locust() -> None:
    files = [*SOURCES, *ROOT.glob("tests/**/*.py"), *ROOT.glob("labs/**/*.py")]
    found = {
        path.relative_to(ROOT).as_posix()
        for path in files
        for name, _ in imported(path)
        if within(name, "locust")
    }
    assert {
        each for each in found if not re.fullmatch(r"labs/[^/]+/locustfile\.py", each)
    } <= LOCUST


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("tests/**/test_*.py")), ids=lambda path: path.name
)
def test_tests_mirror_the_sources(path: Path) -> None:
    """A test lies in the folder of what it tests; there it may be named freely."""
    folder = path.parent.relative_to(ROOT / "tests")
    known = {
        ".",
        "scripts",
        "lecture",
        "conformance",
        "labs",
        "docs",
        "bench",
        "mesh/sidecar/judge",
    }
    assert folder.as_posix() in known or (ROOT / folder).is_dir(), f"{path}: mirrors no folder"


def test_no_text_has_marks_of_an_unfinished_merge() -> None:
    texts = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("labs/*/*.md")]
    marks = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
    assert [str(each) for each in texts if marks.search(each.read_text("utf-8"))] == []
