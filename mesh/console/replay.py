"""Replay: a recorded run in place of a mesh that does not start; the page says that it is one."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Never

from mesh.accesslog import AccessLogRecord
from mesh.console.history import History
from mesh.console.page_source import SourceError
from mesh.console.recording import SHORT, WHOLE, Frame, Recording
from mesh.console.scene import Scene
from mesh.istio.analyze.files import check_text
from mesh.istio.eras import era
from mesh.istio.problem import Problem
from mesh.mixer.graph import Graph


@dataclass(slots=True)
class Replay:
    """A page's source that shows ``recording`` from its beginning, again and again.

    ``clock`` is in seconds; ``reason`` says why there is no mesh.
    """

    scene: Scene
    recording: Recording
    reason: str = ""
    clock: Callable[[], float] = time.monotonic
    history: History = field(default_factory=History)
    _begin: float = field(init=False)
    _sent: Iterator[tuple[int, str, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    @property
    def replayed(self) -> str:
        """The sentence that says what this is, and what it is not."""
        why = f" The mesh does not start: {self.reason}." if self.reason else ""
        return (
            f"This is a replay of a run recorded on {self.recording.date}: nothing here is live, and nothing "
            f"can be changed.{why}"
        )

    @property
    def title(self) -> str:
        """Which run this is."""
        return f"replay of {self.recording.date}: {self.recording.engine}, {self.recording.era}"

    @property
    def engine(self) -> str:
        """The data plane of the run."""
        return self.recording.engine

    @property
    def services(self) -> list[str]:
        """The services of the run."""
        return self.recording.services

    @property
    def pods(self) -> list[str]:
        """The pods of the run."""
        return self.recording.pods

    @property
    def viewable(self) -> list[str]:
        """No sidecar runs."""
        return []

    def graph(self, seconds: float) -> Graph:
        """Return the graph of this moment of the run; all but the shortest time are the whole run."""
        return self._frame().graphs[SHORT if 0 < seconds <= SHORT else WHOLE]

    def sample(self) -> History:
        """Take a sample of the recorded figures."""
        self.history.add(time.time(), self.graph(SHORT))
        return self.history

    def newest(self, count: int = 8) -> list[AccessLogRecord]:
        """Return the newest requests of this moment of the run."""
        return [self.recording.records[name] for name in self._frame().newest[:count]]

    def send(self, path: str, headers: Mapping[str, str]) -> tuple[int, str, str]:
        """Return one of the requests that were sent in the run, whatever is asked now."""
        status, body, name = next(self._sent)
        return status, f"{body.rstrip()}\n(sent to / in the recorded run)", name

    def hops(self, request_id: str) -> list[dict[str, Any]]:
        """Return the recorded explanation of a request; SourceError when there is none."""
        if request_id in self.recording.records and request_id not in self.recording.hops:
            raise SourceError("this request's explanation is not in the recording: press Send")
        return self.recording.hops.get(request_id, [])

    def resources(self) -> list[dict[str, Any]]:
        """Return what was applied."""
        return self.recording.resources

    def problems(self, text: str) -> list[Problem]:
        """Return what the analyzer finds: that needs no mesh."""
        topology = self.scene.topology
        return check_text(
            text,
            "console.yaml",
            era=era(self.scene.era),
            namespace=topology.namespace,
            services=topology,
        ).problems

    def reset(self) -> str:
        """Begin the recording again."""
        self._begin = self.clock()
        self._sent = itertools.cycle(self.recording.sent)
        return f"The recording begins again: {self.scene.title}"

    def apply(self, text: str) -> str:
        """Nothing can be changed."""
        self._refuse()

    def delete(self, kind: str, namespace: str, name: str) -> str:
        """Nothing can be changed."""
        self._refuse()

    def kill(self, pod: str) -> str:
        """Nothing can be changed."""
        self._refuse()

    def fault(self, service: str, fault: str) -> str:
        """Nothing can be changed."""
        self._refuse()

    def heal(self, service: str) -> str:
        """Nothing can be changed."""
        self._refuse()

    def flow_view(self, pod: str) -> str:
        """No sidecar runs."""
        self._refuse()

    def close(self) -> None:
        """Nothing was opened."""

    def _refuse(self) -> Never:
        raise SourceError("this is a replay of a recorded run, so nothing can be changed")

    def _frame(self) -> Frame:
        frames = self.recording.frames
        return frames[int(self.clock() - self._begin) % len(frames)]
