"""``meshctl demo``: the console at a prepared scene, for a lecture.

A scene is a mesh with some configuration and visitors; the page says what to look at and what to try, and
has a button that brings the scene back to its beginning.  When the mesh does not start, a recorded run is
shown instead, and the page says so.
"""

from __future__ import annotations

import sys
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.commands.common import done, note, print_table
from mesh.commands.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.console.page_source import PageSource
    from mesh.console.scene import Scene
    from mesh.testbed.mesh_testbed import MeshTestbed

    Show = Callable[[PageSource], None]


def demo(
    scene: Annotated[
        int | None, typer.Argument(metavar="[SCENE]", help="Its number; without: the list.")
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="mitmproxy or envoy.")] = "mitmproxy",
    port: Annotated[int, typer.Option("--port", help="0: a free one.")] = 8050,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it.")] = True,
    replay: Annotated[bool, typer.Option("--replay", help="Show the recorded run.")] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Record the run anew (authors).")
    ] = False,
) -> None:
    """Open the console at a prepared scene of the lecture."""
    try:
        from mesh.console.scene import SceneError, all_scenes, find_scene
        from mesh.console.server import serve
    except ImportError:
        raise UserError("the console is not installed: `make demo` installs and opens it") from None
    from mesh.testbed.base import ENGINES

    if engine not in ENGINES:
        raise UserError(f"there is no engine {engine!r}: choose {' or '.join(ENGINES)}")
    if scene is None:
        rows = [(str(each.number), each.act, each.title) for each in all_scenes()]
        print_table(("SCENE", "ACT", "TITLE"), rows)
        print("\nmake demo SCENE=2 opens one; REPLAY=1 shows its recorded run.")
        return
    try:
        chosen = find_scene(scene)
    except SceneError as problem:
        raise UserError(str(problem)) from None
    if record:
        _record(chosen, engine)
        return

    def show(source: PageSource) -> None:
        def ready(address: str) -> None:
            done(f"Scene {chosen.number}, {chosen.title}, is at {address}")
            print("   Ctrl-C ends it.", flush=True)
            if browser and sys.stdout.isatty():
                webbrowser.open(address)

        try:
            serve(source, port, "", ready)
        except OSError as problem:
            text = f"port {port} cannot be used ({problem.strerror}): choose --port"
            raise UserError(text) from None

    reason = "" if replay else _live(chosen, engine, show)
    if replay or reason:
        _replay(chosen, reason, show)


def _live(scene: Scene, engine: str, show: Show) -> str:
    """Show a running mesh until interrupted; returns why it does not start, ``""`` if it did."""
    from mesh.console.page_source import SourceError
    from mesh.console.stage import Stage, Visitors
    from mesh.testbed.client import TestbedError

    bed = _bed(scene, engine)
    try:
        bed.start()
        stage = Stage(bed, scene)
        stage.reset()
    except (TestbedError, SourceError, OSError) as problem:
        bed.stop()
        return str(problem).splitlines()[0].rstrip(".")
    visitors = Visitors(bed, scene.users)
    try:
        visitors.start()
        show(stage)
    finally:
        visitors.stop()
        bed.stop()
    return ""


def _replay(scene: Scene, reason: str, show: Show) -> None:
    from mesh.console.recording import load
    from mesh.console.replay import Replay

    if reason:
        note(f"The mesh does not start ({reason}): this is a recorded run.")
    try:
        recording = load(scene.recording)
    except (OSError, ValueError) as problem:
        raise UserError(f"scene {scene.number} has no recorded run: {problem}") from None
    show(Replay(scene, recording, reason))


def _record(scene: Scene, engine: str) -> None:
    from mesh.console.recording import record, save
    from mesh.console.stage import Stage, Visitors

    with _bed(scene, engine) as bed:
        stage = Stage(bed, scene)
        stage.reset()
        visitors = Visitors(bed, scene.users)
        try:
            visitors.start()
            found = record(stage)
        finally:
            visitors.stop()
    size = save(found, scene.recording)
    done(f"Scene {scene.number} is recorded: {scene.recording.name}, {size / 1000:.0f} kB")


def _bed(scene: Scene, engine: str) -> MeshTestbed:
    from mesh.testbed.local import LocalTestbed

    return LocalTestbed(scene.topology, engine=engine, era=scene.era)
