"""``meshctl fix FILE``: repair YAML, change by change, each with its reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mesh.commands.common import done
from mesh.commands.errors import REFUSED, UserError
from mesh.commands.offline import EraName, Lab, Namespace, era_and_topology, existing


def fix(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file.")],
    write: Annotated[bool, typer.Option("--write", "-w", help="Write the file.")] = False,
    era: EraName = "",
    lab: Lab = None,
    namespace: Namespace = "tutorial",
) -> None:
    """Explain what would make this file right, as a diff; --write does it.

    Exit code 1 when errors are left that have no sensible repair.
    """
    from mesh.istio.analyze.files import check_text
    from mesh.istio.document import decode
    from mesh.istio.fix import repair
    from mesh.istio.problem import Level

    existing([file])
    if file.is_dir():
        raise typer.BadParameter(f"{str(file)!r} is a folder: name one file")
    release, _ = era_and_topology(era, lab, None)
    text, problems = decode(file.read_bytes(), str(file))
    if problems:
        raise UserError(str(problems[0]))
    repaired = repair(text, str(file), era=release)
    for number, change in enumerate(repaired.changes, 1):
        print(f"{number}. {change.position}: {change.reason}")
    if repaired.changes:
        print()
        print(repaired.diff(), end="" if repaired.text.endswith("\n") else "\n")
    left = [
        each
        for each in check_text(repaired.text, str(file), era=release, namespace=namespace).problems
        if each.level is Level.ERROR
    ]
    if write and repaired.changes:
        _write(file, repaired.text)
        done(f"{file}: {len(repaired.changes)} changes written")
    elif repaired.changes:
        print("\nNothing is written yet: meshctl fix --write does it.")
    elif not left:
        done(f"{file}: nothing to repair ({release})")
    if left:
        print("\nLeft for you (lines of the repaired text):")
        for each in left:
            print(each)
        raise typer.Exit(REFUSED)


def _write(file: Path, text: str) -> None:
    """Replace the file in one step, with its permissions: a crash leaves the old or the new one."""
    file = file.resolve()
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        part.write_bytes(text.encode())
        part.chmod(file.stat().st_mode & 0o777)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
