"""``meshctl doctor``: check this machine (``mesh.doctor``)."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.doctor import examine, report


def doctor(
    docker: Annotated[
        bool, typer.Option("--docker", help="Also what RUNTIME=compose needs.")
    ] = False,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Also what RUNTIME=kubernetes needs.")
    ] = False,
) -> None:
    """Check this machine, and say what to do about what is missing."""
    raise typer.Exit(report(examine(docker=docker, cluster=cluster)))
