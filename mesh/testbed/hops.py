"""Hops: one request's way through the mesh, a record for each sidecar that had it.

The mitmproxy sidecar tells each decision (``mesh.sidecar.explain``).  Envoy tells what its access
log has: route, cluster, endpoints tried, flags; never the draws.  Both come in one form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    return in_order(found, places(pods))


def of_access_log(
    records: Sequence[AccessLogRecord], request_id: str, where: Mapping[str, str]
) -> list[Hop]:
    """Say the same of access log records, as far as they tell; ``steps`` stays empty.

    ``where`` are the ``places`` of the pods.
    """
    chosen = [each for each in records if each.request_id == request_id]
    found = [
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
        for each in chosen
    ]
    return in_order(found, where)


def places(pods: Iterable[LocalPod]) -> dict[str, str]:
    """Return which pod is behind an address of this machine, ``127.0.0.1:PORT`` -> pod."""
    return {
        f"{pod.node.address}:{port}": pod.name
        for pod in pods
        for port in pod.node.inbound_ports.values()
    }


def in_order(hops: Iterable[Hop], where: Mapping[str, str]) -> list[Hop]:
    """Order by the clock, and what begins in the same tick of it by cause and effect.

    An access log knows milliseconds, and several hops begin in one.  An inbound hop follows the
    outbound one that tried its pod's address, an outbound hop the inbound one of its own pod.
    """
    left = sorted(hops, key=lambda hop: str(hop["start_time"]))
    found: list[Hop] = []
    while left:
        tick = [hop for hop in left if hop["start_time"] == left[0]["start_time"]]
        first = next(
            (hop for hop in tick if not any(_causes(other, hop, where) for other in tick)), tick[0]
        )
        found.append(first)
        left = [hop for hop in left if hop is not first]
    return found


def _causes(one: Hop, other: Hop, where: Mapping[str, str]) -> bool:
    """Tell whether the hop ``one`` led to the hop ``other``."""
    if one["direction"] == other["direction"]:
        return False
    if one["direction"] == "inbound":
        return bool(one["pod"] == other["pod"])
    tried = [*str(one.get("upstream_hosts_attempted", "")).split(","), one["upstream_host"]]
    return other["pod"] in [where.get(address.strip()) for address in tried]
