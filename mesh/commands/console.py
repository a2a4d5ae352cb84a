"""``meshctl console``: a live page about a running mesh."""

from __future__ import annotations

import sys
import webbrowser
from typing import Annotated

import typer

from mesh.commands.common import Mesh, attach, done
from mesh.commands.errors import UserError


def console(
    port: Annotated[int, typer.Option("--port", help="0: a free one.")] = 8050,
    public_origin: Annotated[
        str, typer.Option("--public-origin", metavar="URL", help="Admit one further origin.")
    ] = "",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it.")] = True,
    mesh: Mesh = "",
) -> None:
    """Open the console of a running mesh: graph, requests, metrics, configuration, faults."""
    from mesh.console.guard import read_origin

    try:
        from mesh.console.server import serve
        from mesh.console.source import Source
    except ImportError:
        raise UserError(
            "the console is not installed: `make console` installs and opens it"
        ) from None
    try:
        origin = read_origin(public_origin) if public_origin else ""
    except ValueError as problem:
        raise UserError(str(problem)) from None
    bed = attach(mesh)

    def ready(address: str) -> None:
        done(f"The console of {bed.run.name} is at {address}")
        print("   Ctrl-C ends it; the mesh goes on.", flush=True)
        if browser and sys.stdout.isatty():
            webbrowser.open(address)

    try:
        serve(Source(bed), port, origin, ready)
    except OSError as problem:
        raise UserError(f"port {port} cannot be used ({problem.strerror}): choose --port") from None
