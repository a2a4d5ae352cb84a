"""PageSource: what the page asks and does, of a running mesh or of a recorded run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mesh.accesslog import AccessLogRecord
from mesh.console.history import History
from mesh.console.scene import Scene
from mesh.istio.problem import Problem
from mesh.mixer.graph import Graph


class SourceError(Exception):
    """The mesh could not be asked or changed; the text is one sentence."""


class PageSource(Protocol):
    """What the page asks and does: of a running mesh (``Source``), or of a recording (``Replay``)."""

    @property
    def scene(self) -> Scene | None:
        """The prepared scene that is shown, if one is."""

    @property
    def replayed(self) -> str:
        """What the page says of a recording; ``""``: everything is live."""

    @property
    def title(self) -> str:
        """Which mesh this is."""

    @property
    def engine(self) -> str:
        """Its data plane."""

    @property
    def services(self) -> list[str]:
        """The names of its services."""

    @property
    def pods(self) -> list[str]:
        """The names of its pods."""

    @property
    def viewable(self) -> list[str]:
        """The pods whose flow view can be opened."""

    def graph(self, seconds: float) -> Graph:
        """Return the service graph of the last seconds (0: of all time)."""

    def sample(self) -> History:
        """Take a sample of the figures now; return all of the last minutes."""

    def newest(self, count: int = ...) -> list[AccessLogRecord]:
        """Return the newest requests that came in at the gateway, the last one first."""

    def send(self, path: str, headers: Mapping[str, str]) -> tuple[int, str, str]:
        """Send a request to the gateway; return status, body and its id."""

    def hops(self, request_id: str) -> list[dict[str, Any]]:
        """Return what each sidecar did with a request."""

    def resources(self) -> list[dict[str, Any]]:
        """Return what is applied."""

    def problems(self, text: str) -> list[Problem]:
        """Return what the analyzer finds in a text."""

    def apply(self, text: str) -> str:
        """Apply a text; return the sentence to show, as all that follow do."""

    def delete(self, kind: str, namespace: str, name: str) -> str:
        """Remove a resource."""

    def kill(self, pod: str) -> str:
        """Kill a pod."""

    def fault(self, service: str, fault: str) -> str:
        """Put a fault on all requests to a service."""

    def heal(self, service: str) -> str:
        """Take the console's fault off a service."""

    def reset(self) -> str:
        """Bring the scene back to its beginning."""

    def flow_view(self, pod: str) -> str:
        """Open a sidecar's flow view; return its address."""

    def close(self) -> None:
        """End what was opened for the page."""
