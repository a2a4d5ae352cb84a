"""Warden: the process that owns a mesh in containers, as the preloaded process owns a local one.

It lives as long as the mesh, and mends pods whose containers ended (``healing``).  When the command
that started the mesh is gone (its end of a pipe closes, however it died) and the mesh was not kept,
the warden removes containers, networks and run folder.  Should it be killed itself, the next command sweeps up (``testbed.sweep``).

Run as ``python -m mesh.testbed.compose.warden RUN FD``, with the pipe as standard input; FD is closed when
it listens to Docker.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from mesh.state import KEPT, RunFolder

if TYPE_CHECKING:
    from mesh.testbed.compose.healing import Healer


AGAIN = 1.0
"""Seconds until a Docker that does not answer is asked again: there is nothing to listen to."""


@dataclass(slots=True)
class Warden:
    """The testbed's side of it."""

    process: subprocess.Popen[bytes]
    listening: int
    """The end of a pipe that the warden closes when it listens to Docker."""

    @classmethod
    def launch(cls, run: RunFolder) -> Warden:
        """Start the warden of a run folder and make it the folder's owner."""
        ours, its = os.pipe()
        with (run.path / "warden.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "mesh.testbed.compose.warden", str(run.path), str(its)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
                pass_fds=[its],
            )
        os.close(its)
        run.hand_over(process.pid)
        return cls(process, ours)

    def await_listening(self) -> None:
        """Return when it hears what ends from now on (or is gone itself)."""
        if self.listening >= 0:
            os.read(self.listening, 1)
            os.close(self.listening)
            self.listening = -1

    def end(self) -> None:
        """End it without its doing anything more."""
        self.process.kill()
        self.process.wait()
        if self.listening >= 0:
            os.close(self.listening)
            self.listening = -1
        if self.process.stdin is not None:
            self.process.stdin.close()

    @staticmethod
    def end_owner(run: RunFolder) -> None:
        """End the warden of a kept mesh."""
        owner = run.owner()
        if owner is not None and owner.alive():
            with contextlib.suppress(OSError):
                os.kill(owner.pid, signal.SIGKILL)


def watch(run: RunFolder, listening: int) -> None:
    """Heal what ends, from the moment on that the mesh has started; until the process ends.

    ``listening`` is closed when that begins.
    """
    from docker.errors import DockerException

    from mesh.testbed.client import TestbedError
    from mesh.testbed.compose import docker, healing
    from mesh.testbed.compose.project import RUN_LABEL

    healer = healing.Healer()
    chosen = {"label": f"{RUN_LABEL}={run.path}", "type": "container", "event": "die"}
    # What ended before this process listened, or while Docker did not answer, is told later.
    since = int(run.path.stat().st_ctime)
    while run.path.exists():
        try:
            with closing(docker.client()) as client:
                events = client.events(decode=True, filters=chosen, since=since)
                if listening >= 0:
                    os.close(listening)
                    listening = -1
                for event in events:
                    since = int(event["time"])
                    service = event["Actor"]["Attributes"].get("com.docker.compose.service", "")
                    _heal(run, healer, service)
        except (DockerException, TestbedError, OSError) as problem:
            print(f"Docker's events broke off: {problem}", flush=True)
            time.sleep(AGAIN)


def _heal(run: RunFolder, healer: Healer, service: str) -> None:
    from mesh.pilot.client import PilotError
    from mesh.testbed.client import TestbedError
    from mesh.testbed.compose.testbed import ComposeTestbed
    from mesh.testbed.kept import STATE_FILE

    if not (run.path / STATE_FILE).exists() or service.endswith("-init"):
        return
    try:
        if healer.heal(ComposeTestbed.attach(run).containers, service):
            print(f"{service} had ended: mended", flush=True)
    except (TestbedError, PilotError) as problem:
        print(f"{service} had ended and could not be mended: {problem}", flush=True)


def main(folder: str, listening: int) -> None:
    """Watch; at the end of the command clean up, or go on with a kept mesh."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    run = RunFolder(Path(folder))
    Thread(target=watch, args=(run, listening), name="watch", daemon=True).start()
    while os.read(0, 1):
        pass
    if (run.path / KEPT).exists():
        while True:
            signal.pause()
    from mesh.testbed.compose import docker

    docker.remove_project(docker.client(), run.name)
    run.remove()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
