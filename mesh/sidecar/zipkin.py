"""Zipkin: finished spans go to the collector in batches, in Zipkin's JSON (API v2).

In a real mesh the collector is Zipkin or Jaeger; here the control plane's Mixer takes the spans.
They are sent a fifth of a second after the first of a batch, and at once when the admin port's
``POST /reopen_logs`` asks for everything.  A collector that does not answer loses spans, never
requests.  Source: Envoy ``source/extensions/tracers/zipkin/zipkin_tracer_impl.cc``.
"""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

from mesh.sidecar.stats import Stats
from mesh.sidecar.upstream.cluster_manager import ClusterManager

FLUSH_SECONDS = 0.2
MAX_WAITING = 5_000
"""Spans that wait for the collector; further ones are dropped and counted."""
POST_SECONDS = 5.0
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Reporter:
    """The spans of a sidecar that wait for the collector."""

    def __init__(
        self, clusters: ClusterManager, stats: Stats, node_id: str = "", service: str = ""
    ) -> None:
        self.node_id = node_id
        self.endpoint = {"serviceName": service or node_id, "ipv4": "127.0.0.1", "port": 0}
        self.rng = Random()
        self._clusters = clusters
        self._stats = stats
        self._waiting: list[dict[str, Any]] = []
        self._target = ("", "")
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def report(self, cluster: str, path: str, span: dict[str, Any]) -> None:
        """Take a finished span."""
        if len(self._waiting) >= MAX_WAITING:
            self._stats.inc("tracing.zipkin.reports_dropped")
            return
        self._target = (cluster, path)
        self._waiting.append(span)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Send what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        spans, self._waiting = self._waiting, []
        self._stats.inc("tracing.zipkin.spans_sent", len(spans))
        task = asyncio.get_running_loop().create_task(self._post(*self._target, spans))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, name: str, path: str, spans: list[dict[str, Any]]) -> None:
        cluster = self._clusters.get(name)
        if cluster is None or not cluster.hosts:
            self._stats.inc("tracing.zipkin.reports_skipped_no_cluster")
            return
        host = cluster.hosts[0]
        body = _encode(spans).encode()
        request = (
            b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b"
            % (path.encode(), name.encode(), len(body), body)
        )
        try:
            async with asyncio.timeout(POST_SECONDS):
                if host.pipe:
                    reader, writer = await asyncio.open_unix_connection(host.pipe)
                else:
                    reader, writer = await asyncio.open_connection(host.address, host.port)
                try:
                    writer.write(request)
                    accepted = b" 202 " in await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            self._stats.inc("tracing.zipkin.reports_failed")
            return
        self._stats.inc(f"tracing.zipkin.reports_{'sent' if accepted else 'dropped'}")
