"""What the commands share: which mesh is meant, status lines, tables, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.commands.errors import UserError

if TYPE_CHECKING:
    from mesh.testbed.mesh_testbed import MeshTestbed

Mesh = Annotated[str, typer.Option("--mesh", metavar="NAME", help="Which mesh, when several run.")]
Output = Annotated[str, typer.Option("--output", "-o", help="text or json.")]
Pod = Annotated[str, typer.Argument(metavar="POD", help="A pod, or the start of its name.")]


def done(text: str) -> None:
    """Say that a step is done."""
    print(f" ✓ {text}")


def note(text: str) -> None:
    """Say something on standard error, beside a command's result."""
    print(f" • {text}", file=sys.stderr)


def print_json(data: object) -> None:
    """Print data for programs."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns as wide as their content, as kubectl does."""
    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("   ".join(cells).rstrip())


def check_output(output: str, allowed: Sequence[str] = ("text", "json")) -> None:
    """Refuse an output format that a command does not have."""
    if output not in allowed:
        raise UserError(f"there is no output {output!r}: choose {' or '.join(allowed)}")


def attach(name: str = "", *, hold: bool = False) -> MeshTestbed:
    """Return the mesh ``name``, or the only one; UserError when that is not clear.

    ``hold`` keeps the connection to its processes, which ending it needs; asking and
    configuring the mesh goes without.
    """
    from mesh.state import KEPT, reap, runs

    reap()
    living = {run.name: run for run in runs()}
    if not living:
        raise UserError("no mesh is running: start one with `meshctl up`, or `make lab-1 KEEP=1`")
    kept = [run.name for run in living.values() if (run.path / KEPT).exists()]
    if not name and len(living) > 1 and len(kept) == 1:
        name = kept[0]
    if not name and len(living) > 1:
        raise UserError(f"several meshes run ({', '.join(living)}): choose one with --mesh NAME")
    if name and name not in living:
        raise UserError(f"no mesh is called {name!r}: there are {', '.join(living)}")

    from mesh.testbed.choose import attach_to

    bed = attach_to(living[name] if name else next(iter(living.values())))
    if not hold:
        bed.leave()
    return bed


def print_problems(problems: Sequence[Any]) -> None:
    """Print what was found in a configuration, on standard error."""
    for problem in problems:
        print(problem, file=sys.stderr)


def find_proxy(bed: MeshTestbed, name: str) -> str:
    """Return the full name of the pod (or gateway) that ``name`` begins; UserError when unclear."""
    names = [status.name for status in bed.pilot.proxy_status()]
    plain = [each.partition(".")[0] for each in names]
    if name in names or name in plain:
        return name
    close = [each for each in names if each.startswith(name)]
    if len(close) == 1:
        return close[0]
    if close:
        raise UserError(f"several pods begin with {name!r}: {', '.join(close)}")
    raise UserError(f"no pod is called {name!r}: there are {', '.join(names)}")
