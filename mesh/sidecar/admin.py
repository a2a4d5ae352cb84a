"""The admin port: Envoy's paths, so that the same tools read both data planes.

``GET /ready``, ``/stats?format=json`` (``&filter=``), ``/stats/prometheus``, ``/clusters?format=json``, ``/config_dump``,
``POST /reopen_logs`` (returns when everything logged so far is in the file), ``POST
/drain_listeners?graceful&inboundonly&skip_exit``.  In a real mesh: ``istioctl proxy-config`` and port 15000.  Two
paths are the kit's own: ``GET /explain`` with ``request_id=ID`` or ``limit=N``
(``mesh.sidecar.explain``), and ``GET /flows`` (``mesh.sidecar.flow_dump``).

Source: Envoy, "Administration interface" (operations/admin).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mesh.redact import redacted
from mesh.sidecar.access_log import LogFiles
from mesh.sidecar.config import CDS, EDS, LDS, RDS, Config
from mesh.sidecar.explain import Explanations
from mesh.sidecar.flow_dump import FlowDump
from mesh.sidecar.stats import Stats
from mesh.sidecar.upstream.cluster import Cluster
from mesh.sidecar.upstream.cluster_manager import ClusterManager
from mesh.stats_tags import prometheus

Answer = tuple[int, str, bytes]
_CHANGES = ("/reopen_logs", "/reload_filter", "/drain_listeners")
_DUMPS = {
    CDS: ("Clusters", "dynamic_active_clusters", "cluster"),
    LDS: ("Listeners", "dynamic_listeners", "listener"),
    RDS: ("Routes", "dynamic_route_configs", "route_config"),
    EDS: ("Endpoints", "dynamic_endpoint_configs", "endpoint_config"),
}


class Admin:
    """Answers the admin requests of one sidecar on 127.0.0.1."""

    def __init__(
        self,
        stats: Stats,
        clusters: ClusterManager,
        config: Config,
        logs: LogFiles,
        explanations: Explanations,
        flush_spans: Callable[[], None] = lambda: None,
    ) -> None:
        self._stats = stats
        self._clusters = clusters
        self._config = config
        self._logs = logs
        self._explanations = explanations
        self._flush_spans = flush_spans
        self.reload_filter: Callable[[], None] | None = None
        self.drain_listeners: Callable[[bool], None] = lambda inbound_only: None
        self.flows: FlowDump | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, place: int | str) -> None:
        """Listen on a port of 127.0.0.1 or a Unix socket; raises OSError when it is taken."""
        if isinstance(place, int):
            listen = asyncio.start_server(self._serve, "127.0.0.1", place, reuse_port=True)
            self._server = await listen
            return
        path = Path(place)
        path.unlink(missing_ok=True)  # of a sidecar that ran here before
        self._server = await asyncio.start_unix_server(self._serve, place)
        path.chmod(0o666)  # its folder says who may come here

    def stop(self) -> None:
        """Close the port and the connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"\r\ncontent-length:\s*(\d+)\r\n", head, re.IGNORECASE)
                if length is not None and int(length[1]):
                    await reader.readexactly(int(length[1]))
                if head.startswith("GET /flows "):
                    await self._flows(head, reader, writer)
                    return
                status, kind, body = self.answer(*head.split(" ", 2)[:2])
                writer.write(
                    f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\n"
                    f"content-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            pass  # the sidecar ends
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _flows(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Stream what the sidecar serves from now on, until the reader leaves.

        Bodies and tokens are in it, so pages that point a name of theirs at this address get none.
        """
        host = re.search(r"\r\nhost:\s*(127\.0\.0\.1|localhost)(:\d+)?\r\n", head, re.IGNORECASE)
        if host is None or self.flows is None:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n")
            return
        with self.flows.reader() as waiting:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
                b"connection: close\r\n\r\n"
            )
            left = asyncio.ensure_future(reader.read())
            try:
                while not left.done():
                    next_one = asyncio.ensure_future(waiting.get())
                    await asyncio.wait((left, next_one), return_when=asyncio.FIRST_COMPLETED)
                    if not next_one.done():
                        next_one.cancel()
                        return
                    writer.write(next_one.result())
                    await writer.drain()
            finally:
                left.cancel()

    def answer(self, method: str, target: str) -> Answer:
        """Return status, content type and body for ``method`` and ``target``."""
        url = urlsplit(target)
        given = parse_qs(url.query, keep_blank_values=True)
        query = {key: values[-1] for key, values in given.items()}
        routes: dict[str, Callable[[dict[str, str]], Answer]] = {
            "/ready": self._ready,
            "/stats": self._stats_page,
            "/stats/prometheus": self._prometheus,
            "/clusters": self._clusters_page,
            "/config_dump": self._config_dump,
            "/reopen_logs": self._reopen_logs,
            "/explain": self._explain,
            "/reload_filter": self._reload_filter,
            "/drain_listeners": self._drain_listeners,
        }
        handler = routes.get(url.path)
        if handler is None:
            known = " ".join(routes)
            return 404, "text/plain", f"no such page: {url.path}; there are {known}\n".encode()
        if url.path in _CHANGES and method != "POST":
            return 405, "text/plain", b"Method not allowed: use POST\n"
        return handler(query)

    def _ready(self, _query: dict[str, str]) -> Answer:
        if self._config.in_force.is_set():
            return 200, "text/plain", b"LIVE\n"
        return 503, "text/plain", b"PRE_INITIALIZING\n"

    def _stats_page(self, query: dict[str, str]) -> Answer:
        values = self._stats.snapshot()
        if "filter" in query:
            pattern = re.compile(query["filter"])
            values = {name: value for name, value in values.items() if pattern.search(name)}
        if query.get("format") == "json":
            return _json({"stats": [{"name": k, "value": v} for k, v in values.items()]})
        return 200, "text/plain", "".join(f"{k}: {v}\n" for k, v in values.items()).encode()

    def _prometheus(self, _query: dict[str, str]) -> Answer:
        text = prometheus(self._stats.snapshot())
        return 200, "text/plain; version=0.0.4", text.encode()

    def _clusters_page(self, query: dict[str, str]) -> Answer:
        statuses = [_cluster_status(cluster) for cluster in self._clusters.active]
        if query.get("format") == "json":
            return _json({"cluster_statuses": statuses})
        lines = [
            f"{status['name']}::{json.dumps(host['address'])}::{host['health_status']}\n"
            for status in statuses
            for host in status["host_statuses"]
        ]
        return 200, "text/plain", "".join(lines).encode()

    def _config_dump(self, _query: dict[str, str]) -> Answer:
        configs = []
        for url, (kind, field, name) in _DUMPS.items():
            state = self._config.types[url]
            updated = datetime.fromtimestamp(state.updated, UTC).isoformat().replace("+00:00", "Z")
            entries = []
            for key, message in state.resources.items():
                body = {"@type": url, **redacted(message.to_dict())}
                entry: dict[str, Any] = {
                    "version_info": state.version,
                    name: body,
                    "last_updated": updated,
                }
                if kind == "Listeners":
                    entry = {"name": key, "active_state": entry}
                entries.append(entry)
            dump: dict[str, Any] = {
                "@type": f"type.googleapis.com/envoy.admin.v3.{kind}ConfigDump",
                field: entries,
            }
            if kind in ("Clusters", "Listeners"):
                dump["version_info"] = state.version
            if state.error:
                dump["error_state"] = {"details": state.error, "version_info": state.error_version}
            configs.append(dump)
        return _json({"configs": configs})

    def _explain(self, query: dict[str, str]) -> Answer:
        limit = query.get("limit", "20")
        if not limit.isdecimal():
            return 400, "text/plain", b"limit has to be a number\n"
        found = self._explanations.find(query.get("request_id", ""), int(limit))
        return _json({"records": found})

    def _reload_filter(self, _query: dict[str, str]) -> Answer:
        if self.reload_filter is None:
            return 404, "text/plain", b"this sidecar has no filter of its own\n"
        self.reload_filter()
        return 200, "text/plain", b"OK\n"

    def _drain_listeners(self, query: dict[str, str]) -> Answer:
        if not {"graceful", "skip_exit"} <= query.keys():
            return 400, "text/plain", b"only graceful&skip_exit (&inboundonly) can be executed\n"
        self.drain_listeners("inboundonly" in query)
        return 200, "text/plain", b"OK\n"

    def _reopen_logs(self, _query: dict[str, str]) -> Answer:
        self._logs.reopen()
        self._flush_spans()
        return 200, "text/plain", b"OK\n"


def _json(value: Any) -> Answer:
    return 200, "application/json", json.dumps(value, indent=1).encode()


def _cluster_status(cluster: Cluster) -> dict[str, Any]:
    hosts = []
    for host in cluster.hosts:
        address: dict[str, Any] = {"pipe": {"path": host.pipe}}
        if host.internal:
            address = {"envoy_internal_address": {"server_listener_name": host.internal}}
        elif not host.pipe:
            address = {"socket_address": {"address": host.address, "port_value": host.port}}
        counters = cluster.host_counters[host.key]
        stats: list[dict[str, Any]] = [
            {"name": name, "value": str(counters[name])}
            for name in ("rq_total", "rq_success", "rq_error", "rq_timeout")
        ]
        active, total, failed = cluster.connections(host)
        stats.append({"name": "cx_connect_fail", "value": str(failed)})
        stats.append({"name": "cx_total", "value": str(total)})
        stats.append({"name": "cx_active", "type": "GAUGE", "value": str(active)})
        stats.append({"name": "rq_active", "type": "GAUGE", "value": str(host.active_requests)})
        health: dict[str, Any] = {"eds_health_status": host.health.upper()}
        if host.ejected:
            health["failed_outlier_check"] = True
        if host.check_failed:
            health["failed_active_health_check"] = True
        if host.leaving:
            health["pending_dynamic_removal"] = True
        hosts.append(
            {
                "address": address,
                "stats": stats,
                "health_status": health,
                "weight": host.weight,
                "priority": host.priority,
                "pod": host.pod,
            }
        )
    return {"name": cluster.name, "observability_name": cluster.name, "host_statuses": hosts}
