"""Stage: a running mesh with a scene on it, and visitors who come again and again."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from mesh.console.scene import Scene
from mesh.console.source import Source
from mesh.testbed.client import TestbedError
from mesh.testbed.mesh_testbed import MeshTestbed

THINK = 0.2
"""Seconds between two visits of a visitor."""


@dataclass(slots=True)
class Visitors:
    """Threads that open the page at the gateway, until ``stop``."""

    bed: MeshTestbed
    count: int
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Send them."""
        self._threads = [
            threading.Thread(target=self._visit, daemon=True) for _ in range(self.count)
        ]
        for each in self._threads:
            each.start()

    def _visit(self) -> None:
        while not self._over.wait(THINK):
            try:
                self.bed.request("/")
            except TestbedError:
                continue  # a visitor who got no answer comes again

    def stop(self) -> None:
        """Send nobody any more; returns when the last one has his answer."""
        self._over.set()
        for each in self._threads:
            each.join()


class Stage(Source):
    """What a page about ``scene`` asks; the scene is in force on ``bed`` after ``reset``."""

    def __init__(self, bed: MeshTestbed, scene: Scene) -> None:
        super().__init__(bed)
        self._scene = scene

    @property
    def scene(self) -> Scene:
        """What is shown."""
        return self._scene

    def reset(self) -> str:
        """Bring the scene back to its beginning: its configuration, and nothing else."""
        with self._changes:
            self._undo.clear()
            self._ask(self._begin)
        return f"The scene is at its beginning: {self._scene.title}"

    def _begin(self) -> None:
        self.bed.apply(self._scene.resources(), era=self._scene.era)
        for pod, path in self._scene.tell:
            self.bed.tell(pod, path)
