"""LocalTestbed: a mesh as processes of this machine, forked from one preloaded process.

``start`` forks control plane, applications, sidecars and gateway, side by side, and returns when
every one has said that it is ready and the first configuration is in force; nothing waits by
guessing.
"""

from __future__ import annotations

from typing import Any

from mesh.pilot.client import PilotError
from mesh.state import KEPT, RunFolder, StateError, reap
from mesh.testbed.client import TestbedError, ZygoteClient, last_words
from mesh.testbed.deployment import Deployment
from mesh.testbed.kept import read_state
from mesh.testbed.mesh_testbed import MeshTestbed
from mesh.testbed.plain import from_plain
from mesh.topology import Topology


class LocalTestbed(MeshTestbed):
    """A mesh on this machine."""

    def __init__(self, topology: Topology, **options: Any) -> None:
        super().__init__(topology, **options)
        self._zygote: ZygoteClient | None = None

    def start(self) -> None:
        """Start everything; a TestbedError leaves nothing behind."""
        self._engine.check()
        try:
            reap()
            self._folder = RunFolder.create()
        except StateError as problem:
            raise TestbedError(str(problem)) from None
        try:
            self._zygote = ZygoteClient.launch(self._folder)
            deployment = self._make(self._folder, self._zygote)
            self._deployment = deployment
            deployment.start(self._apply_ingress)
            self._save()
        except PilotError as problem:
            text = f"{problem} ({last_words(self._folder.path / 'pilot.log')})"
            self.stop()
            raise TestbedError(text) from None
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it: no process and no file is left; calling it again does nothing."""
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.end()
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.remove()
        self._deployment = None

    def keep(self) -> str:
        """Let the mesh live on after this command; returns its name for ``attach``."""
        if self._zygote is not None:
            self._zygote.keep()
        (self.run.path / KEPT).touch()
        return self.run.name

    def leave(self) -> None:
        """Close the connection to a kept mesh, which goes on."""
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.close()

    @classmethod
    def attach(cls, run: RunFolder) -> LocalTestbed:
        """Take up a kept mesh again; TestbedError when it is gone."""
        state = read_state(run)
        topology: Topology = from_plain(Topology, state["topology"])
        bed = cls(topology, engine=state["engine"], era=state["era"], seed=state["seed"])
        bed._zygote = ZygoteClient.attach(run)
        bed._take_up(run, bed._make(run, bed._zygote), state)
        return bed

    def _make(self, folder: RunFolder, zygote: ZygoteClient) -> Deployment:
        return Deployment(
            topology=self.topology,
            engine=self._engine,
            era=self.era,
            seed=self.seed,
            folder=folder,
            zygote=zygote,
            certificate_seconds=self.certificate_seconds,
            sampling=self.sampling,
        )
