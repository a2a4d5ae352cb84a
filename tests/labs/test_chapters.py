"""What the chapters show: YAML blocks load as the text says, commands exist with their options."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
import yaml

from grader.cli import app as grade_app
from grader.lab import LABS, LabDefinition, all_labs, read_lab
from mesh.cli import app as mesh_app
from mesh.istio.eras import era
from mesh.istio.load import load_text
from mesh.istio.problem import has_errors
from mesh.istio.validate import validate
from mesh.testbed.load_topology import load_topology

KIT = LABS.parent
CHAPTERS = [*sorted(LABS.glob("*/README.md")), *sorted(LABS.glob("*/hints.md"))]
BLOCK = re.compile(
    r"(?:<!-- (?P<remark>[a-z ]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
COMMANDS = {
    "grade": typer.main.get_command(grade_app),
    "meshctl": typer.main.get_command(mesh_app),
}


def blocks(path: Path) -> Iterator[tuple[str, str, str, int]]:
    """(kind, text, remark, line) of each fenced block."""
    text = path.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield found["kind"], found["text"], found["remark"] or "", line


def lab_of(path: Path) -> LabDefinition:
    return read_lab(path.parent)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_yaml_blocks_do_what_the_text_says(path: Path) -> None:
    lab = lab_of(path)
    release = era(lab.era)
    for kind, text, remark, line in blocks(path):
        if kind != "yaml" or ("apiVersion" not in text and "kind:" not in text):
            continue
        if path.name == "hints.md":
            text = lab.fill(text)
        loaded = load_text(text, era=release, namespace="tutorial")
        problems = [*loaded.problems, *validate(loaded.resources, release)]
        refused = has_errors(problems) or not loaded.resources
        assert refused == (remark == "does not load"), f"{path}:{line}: {list(map(str, problems))}"


def topologies(path: Path) -> Iterator[dict[str, Any]]:
    """What a chapter gives to ``meshctl up --topology``."""
    for kind, text, _, _ in blocks(path):
        if kind == "yaml" and re.search(r"^services:", text, re.M):
            yield yaml.safe_load(text)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_topologies_can_be_started(path: Path) -> None:
    for each in topologies(path):
        assert load_topology(each).services


def test_lab_8_starts_a_mesh_that_obeys_the_header_that_it_speaks_of() -> None:
    [topology] = topologies(LABS / "08-per-request-routing" / "README.md")
    assert load_topology(topology).l5d_dtab


def commands(path: Path) -> Iterator[tuple[list[str], int]]:
    """Every command line of the fenced blocks that are shell, without comments."""
    for kind, text, _, line in blocks(path):
        if kind not in ("", "sh"):
            continue
        for number, each in enumerate(text.replace("\\\n", " ").splitlines(), start=line + 1):
            words = shlex.split(each, comments=True)
            if words and (
                words[0] in ("make", "cp", "grep", "less") or words[0].startswith(".venv/")
            ):
                yield words, number


def check_command(command: Any, words: list[str]) -> None:
    """Parse ``words`` as the command would, without running it; AssertionError says what is wrong.

    Typer brings a click of its own, whose classes are not those of the package click.
    """
    try:
        context = command.make_context(command.name, list(words))
        if hasattr(command, "resolve_command"):
            _, sub, rest = command.resolve_command(context, list(words))
            check_command(sub, rest)
    except typer.Exit as end:  # --help
        assert end.exit_code == 0
    except Exception as problem:
        if not hasattr(problem, "format_message"):
            raise
        raise AssertionError(problem.format_message()) from None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("apply --nonsense", "No such option"),
        ("nonsense", "No such command"),
        ("get a b c d e f", "unexpected extra argument"),
    ],
)
def test_a_command_that_does_not_exist_is_noticed(words: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_command(COMMANDS["meshctl"], words.split())


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_commands_exist_with_their_options(path: Path) -> None:
    makefile = (KIT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+(?:-[a-z]+)*(?:-%)?):", makefile, re.M))
    numbers = {lab.number for lab in all_labs()}
    for words, line in commands(path):
        where = f"{path}:{line}: {' '.join(words)}"
        if words[0] == "make":
            for word in words[1:]:
                if "=" in word:
                    assert (
                        f"$({word.partition('=')[0]})" in makefile
                        or word.partition("=")[0] in makefile
                    ), where
                elif found := re.fullmatch(r"([a-z]+)-(\d+)", word):
                    assert f"{found[1]}-%" in targets, where
                    assert int(found[2]) in numbers, where
                else:
                    assert word in targets, where
        elif words[0].startswith(".venv/bin/"):
            name = words[0].removeprefix(".venv/bin/")
            if name in COMMANDS:
                try:
                    check_command(COMMANDS[name], words[1:])
                except AssertionError as problem:
                    pytest.fail(f"{where}: {problem}")
            else:
                assert name in ("locust", "python"), where
