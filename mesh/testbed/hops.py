"""Hops: one request's way through the mesh, a record for each sidecar that had it.

The mitmproxy sidecar tells each decision (``mesh.sidecar.explain``).  Envoy tells what its access
log has: route, cluster, endpoints tried, flags; never the draws.  Both come in one form.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mesh.accesslog import AccessLogRecord
from mesh.envoy.admin import Admin, AdminError
from mesh.testbed.client import TestbedError
from mesh.testbed.pods import LocalPod

Hop = dict[str, Any]
"""The record of ``mesh.sidecar.explain`` with ``pod`` and ``direction`` before it."""


def of_sidecars(pods: Iterable[LocalPod], request_id: str) -> list[Hop]:
    """Ask every sidecar for its records of a request; in the order in which it came there."""
    found: list[Hop] = []
    for pod in pods:
        if not pod.injected:
            continue
        try:
            records = Admin(pod.node.admin).explain(request_id)
        except AdminError as problem:
            raise TestbedError(f"{pod.name}: {problem}") from None
        for record in records:
            inbound = record["listener"].startswith("http.inbound")
            direction = "inbound" if inbound else "outbound"
            found.append({"pod": pod.name, "direction": direction, **record})
    return sorted(found, key=lambda hop: str(hop["start_time"]))


def of_access_log(records: Sequence[AccessLogRecord], request_id: str) -> list[Hop]:
    """Say the same of access log records, as far as they tell; ``steps`` stays empty."""
    chosen = [each for each in records if each.request_id == request_id]
    return [
        {
            "pod": each.pod,
            "direction": each.direction,
            "request_id": each.request_id,
            "start_time": each.start_time,
            "method": each.method,
            "authority": each.authority,
            "path": each.path,
            "response_code": each.response_code,
            "response_flags": each.response_flags or "-",
            "response_code_details": each.response_code_details,
            "duration_ms": each.duration,
            "route_name": each.route_name,
            "upstream_cluster": each.upstream_cluster,
            "upstream_host": each.upstream_host,
            "attempts": each.upstream_request_attempt_count,
            "upstream_hosts_attempted": each.upstream_hosts_attempted,
            "steps": [],
        }
        for each in sorted(chosen, key=_order)
    ]


def _order(record: AccessLogRecord) -> tuple[str, int]:
    """Order by the beginning; of one millisecond, what took longer contains the other."""
    return record.start_time, -record.duration
