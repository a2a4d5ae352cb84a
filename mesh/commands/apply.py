"""``meshctl apply FILE``: change the configuration; returns when it is in force."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.commands.common import Mesh, attach, done, print_problems

if TYPE_CHECKING:
    from mesh.pilot.client import ApplyResult

Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE]...", help="File or folder; - for standard input."),
]
Named = Annotated[
    list[Path] | None,
    typer.Option("--filename", "-f", metavar="FILE", help="The same, as kubectl spells it."),
]


def apply(paths: Files = None, filename: Named = None, mesh: Mesh = "") -> None:
    """Apply Istio YAML and wait until every sidecar works by it."""
    files = [*(paths or []), *(filename or [])]
    if not files:
        raise typer.BadParameter("give the files or folders to apply: meshctl apply FILE")
    texts: list[tuple[str, str]] = []
    for file in expand(files):
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        texts.append(("<stdin>" if str(file) == "-" else str(file), text))
    bed = attach(mesh)
    say(bed.apply(texts))


def expand(files: list[Path]) -> list[Path]:
    """Return the files to read: folders stand for the YAML files in them."""
    found: list[Path] = []
    for file in files:
        if file.is_dir():
            found += sorted(each for each in file.iterdir() if each.suffix in (".yaml", ".yml"))
        else:
            found.append(file)
    return found


def say(result: ApplyResult) -> None:
    """Print what an apply or a delete did."""
    print_problems(result.problems)
    for name in result.applied:
        done(name)
    done(f"in force after {result.seconds * 1000:.0f} ms")
