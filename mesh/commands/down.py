"""``meshctl down``: end a kept mesh; no process and no file is left."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.commands.common import Mesh, attach, done


def down(
    mesh: Mesh = "",
    every: Annotated[bool, typer.Option("--all", help="End all of them.")] = False,
) -> None:
    """End a mesh that `meshctl up` or KEEP=1 left running."""
    from mesh.state import runs

    names = [run.name for run in runs()] if every else [mesh]
    for name in names:
        bed = attach(name, hold=True)
        shown = bed.run.name
        bed.stop()
        done(f"Ended {shown}")
    if not names:
        done("No mesh was running")
    if every:
        from mesh.testbed.choose import sweep_containers

        for name in sweep_containers():
            done(f"Removed what was left of {name}")
