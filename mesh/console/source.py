"""Source: the running mesh as the page needs it; every failure is a SourceError, one sentence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.accesslog import AccessLogRecord, parse_record
from mesh.console.chaos import Change, with_fault
from mesh.console.flow_views import FlowViewError, FlowViews
from mesh.console.history import WINDOW, History
from mesh.console.page_source import SourceError
from mesh.console.scene import Scene
from mesh.istio.analyze.files import check_text
from mesh.istio.eras import era
from mesh.istio.problem import Problem
from mesh.mixer.client import MixerError
from mesh.mixer.graph import Graph
from mesh.pilot.client import PilotError
from mesh.testbed.client import TestbedError
from mesh.testbed.mesh_testbed import MeshTestbed

MITMPROXY = "mitmproxy"
TAIL = 64_000
"""Bytes of the gateway's log in which the newest requests are looked for."""


@dataclass(slots=True)
class Source:
    """One mesh.  Callbacks of the page run in several threads; changes go one after another."""

    bed: MeshTestbed
    history: History = field(default_factory=History)
    views: FlowViews = field(default_factory=FlowViews)
    _changes: threading.Lock = field(default_factory=threading.Lock)
    _undo: dict[str, Change] = field(default_factory=dict)

    @property
    def scene(self) -> Scene | None:
        """A mesh of one's own is no scene."""
        return None

    @property
    def replayed(self) -> str:
        """Everything is live."""
        return ""

    @property
    def engine(self) -> str:
        """The data plane."""
        return self.bed.engine

    @property
    def services(self) -> list[str]:
        """The names of the services."""
        return [each.name for each in self.bed.topology.services]

    @property
    def pods(self) -> list[str]:
        """The names of the pods."""
        return [each.name for each in self.bed.pods()]

    def reset(self) -> str:
        """There is nothing to go back to: SourceError."""
        raise SourceError("this mesh is no prepared scene: `make demo` has some")

    def close(self) -> None:
        """End the flow views."""
        self.views.close()

    @property
    def title(self) -> str:
        """Which mesh this is."""
        return f"{self.bed.run.name}: {self.bed.engine}, {self.bed.era}"

    def graph(self, seconds: float) -> Graph:
        """Return the service graph of the last seconds (0: of all time)."""
        return self._ask(lambda: self.bed.telemetry().graph(seconds))

    def sample(self) -> History:
        """Take a sample of the figures now; return all of the last minutes."""
        self.history.add(time.time(), self.graph(WINDOW))
        return self.history

    def newest(self, count: int = 8) -> list[AccessLogRecord]:
        """Return the newest requests that came in at the gateway, the last one first."""
        gateway = self.bed.topology.gateway
        name = next(
            (each for each in self.bed.proxies() if gateway and each.startswith(gateway)), ""
        )
        if not name:
            return []
        path = Path(self.bed.find(name).node.access_log)
        try:
            with path.open("rb") as stream:
                size = stream.seek(0, 2)
                stream.seek(max(0, size - TAIL))
                lines = stream.read().split(b"\n")[1 if size > TAIL else 0 :]
        except OSError:
            return []
        found = []
        for line in reversed(lines):
            try:
                found.append(parse_record(name, line.decode("utf-8", "replace")))
            except ValueError:
                continue
            if len(found) == count:
                break
        return found

    def send(self, path: str, headers: Mapping[str, str]) -> tuple[int, str, str]:
        """Send a request to the gateway; return status, body and its id."""
        name = f"console-{time.time_ns()}"
        answer = self._ask(
            lambda: self.bed.request(path, headers={**headers, "x-request-id": name})
        )
        return answer.status, answer.text, name

    def hops(self, request_id: str) -> list[dict[str, Any]]:
        """Return what each sidecar did with a request."""
        return list(self._ask(lambda: self.bed.explain(request_id)))

    def resources(self) -> list[dict[str, Any]]:
        """Return what is applied: kind, namespace, name, file, line, text."""
        return self._ask(lambda: self.bed.pilot.resources())

    def problems(self, text: str) -> list[Problem]:
        """Return what the analyzer finds in a text, knowing what runs."""
        topology = self.bed.topology
        return check_text(
            text,
            "console.yaml",
            era=era(self.bed.era),
            namespace=topology.namespace,
            services=topology,
        ).problems

    def apply(self, text: str) -> str:
        """Apply a text; return the sentence to show."""
        with self._changes:
            result = self._ask(lambda: self.bed.apply([("console.yaml", text)]))
        names = ", ".join(result.applied) or "nothing"
        return f"{names}: in force after {result.seconds * 1000:.0f} ms"

    def delete(self, kind: str, namespace: str, name: str) -> str:
        """Remove a resource; return the sentence to show."""
        with self._changes:
            self._ask(lambda: self.bed.delete([(kind, namespace, name)]))
        return f"{kind} {namespace}/{name} is removed"

    def kill(self, pod: str) -> str:
        """Kill a pod as ``kill -9`` does; another takes its place."""
        with self._changes:
            new = self._ask(lambda: self.bed.kill_pod(pod))
        return f"{pod} was killed; {new.name} took its place"

    @property
    def viewable(self) -> list[str]:
        """The pods of whose sidecars mitmproxy's flow view can be opened; none with Envoy."""
        return sorted(self.bed.proxies()) if self.bed.engine == MITMPROXY else []

    def flow_view(self, pod: str) -> str:
        """Open mitmproxy's flow view of a pod's sidecar; return its address."""
        if pod not in self.viewable:
            raise SourceError(f"there is no mitmproxy sidecar of {pod!r}")
        try:
            return self.views.open(pod, self._ask(lambda: self.bed.find(pod).node.admin))
        except (FlowViewError, OSError) as problem:
            raise SourceError(str(problem)) from None

    def fault(self, service: str, fault: str) -> str:
        """Put a fault on all requests to a service."""
        if service in self._undo:
            self.heal(service)
        topology = self.bed.topology
        found = next((each for each in topology.services if each.name == service), None)
        if found is None:
            raise SourceError(f"there is no service {service!r}")
        version = era(self.bed.era).preferred_networking_version
        change = with_fault(self.resources(), service, found.namespace, fault, version)
        done = self.apply(change.text)
        self._undo[service] = change
        return done

    def heal(self, service: str) -> str:
        """Take the console's fault off a service."""
        change = self._undo.pop(service, None)
        if change is None:
            return f"{service} has no fault of the console's"
        if change.undo_delete:
            return self.delete(*change.undo_delete)
        return self.apply(change.undo_text)

    def _ask[T](self, question: Callable[[], T]) -> T:
        try:
            return question()
        except (TestbedError, PilotError, MixerError, OSError) as problem:
            raise SourceError(str(problem)) from None
