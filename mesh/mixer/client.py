"""MixerClient: how commands, the console and tests ask Mixer.

Synchronous, over its Unix socket; every failure is a MixerError with one sentence.  Numbers are
complete after ``sync``, when the sidecars have written their logs before (``Testbed.telemetry``
does both).
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mesh.accesslog import AccessLogRecord
from mesh.mixer.graph import Graph
from mesh.mixer.spans import Trace
from mesh.unixhttp import ask


class MixerError(Exception):
    """Mixer did not answer, or refused a question; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What a barrier found: ``records`` read in all, ``forgotten`` of them not kept one by one.

    ``missing_spans`` were expected and have not come in time (0: the traces are complete).
    """

    records: int
    forgotten: int
    missing_spans: int


@dataclass(frozen=True, slots=True)
class MixerClient:
    """Mixer at ``socket_path``; ``timeout`` in seconds for one question."""

    socket_path: str | Path
    timeout: float = 60.0

    def sync(self, *, spans: bool = False) -> Synced:
        """Let Mixer read all that the sidecars wrote; with ``spans`` wait for these, too."""
        return Synced(**self._call("POST", "/sync", {"spans": spans}))

    def graph(self, seconds: float = 0.0) -> Graph:
        """Return the service graph of the last ``seconds`` before the newest request; 0: all."""
        return Graph.from_dict(self._call("GET", f"/graph?seconds={seconds:g}"))

    def traces(self, limit: int = 20) -> tuple[Trace, ...]:
        """Return the newest traces, by their beginning."""
        return tuple(Trace.from_dict(each) for each in self._call("GET", f"/traces?limit={limit}"))

    def trace(self, name: str) -> tuple[Trace, ...]:
        """Return the traces of a trace id or ``x-request-id`` (its beginning is enough)."""
        found = self._call("GET", f"/traces/{quote(name, safe='')}")
        return tuple(Trace.from_dict(each) for each in found)

    def records(self, name: str) -> tuple[AccessLogRecord, ...]:
        """Return the access log records of a trace id or ``x-request-id``, by time."""
        found = self._call("GET", f"/records/{quote(name, safe='')}")
        return tuple(AccessLogRecord(**each) for each in found)

    def entries(self) -> tuple[str, ...]:
        """Return the newest lines of Mixer's own log (``logentry``), the oldest first."""
        return tuple(self._call("GET", "/entries"))

    def metrics(self, pod: str = "") -> str:
        """Return Prometheus' text: of all pods, or of one with its sidecar's own counters.

        MixerError names the pod when it is not there.
        """
        path = f"/stats/prometheus/{quote(pod, safe='')}" if pod else "/metrics"
        return self._ask("GET", path).decode()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return json.loads(self._ask(method, path, body))

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        try:
            status, text = ask(self.socket_path, method, path, body, self.timeout)
        except (OSError, http.client.HTTPException) as error:
            raise MixerError(
                f"Mixer at {self.socket_path} does not answer ({error}): is the mesh up?"
            ) from error
        if status != http.client.OK:
            try:
                reason = str(json.loads(text)["error"])
            except (ValueError, KeyError, TypeError):
                reason = f"status {status}"
            raise MixerError(reason)
        return text
