"""Attributes: what Mixer's expressions read about a request before it is answered.

Source: Istio 1.4, "Attribute vocabulary" (reference/config/policy-and-telemetry).  Only what a
sidecar can tell is there; anything else is absent, as in Mixer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.mixer.workloads import NOBODY, Workload


def of_request(
    source: Workload,
    destination: Workload,
    method: str,
    path: str,
    headers: Mapping[str, str],
    mtls: bool,
) -> dict[str, Any]:
    """Return the attributes of a request that arrives at ``destination``'s sidecar.

    ``headers`` have lower-case names; ``path`` includes the query.
    """
    service = destination.service
    found: dict[str, Any] = {
        "context.protocol": "http",
        "context.reporter.kind": "inbound",
        "connection.mtls": mtls,
        "destination.service": service,
        "destination.service.host": service,
        "destination.service.name": service.partition(".")[0],
        "destination.service.namespace": destination.namespace,
        "request.headers": dict(headers),
        "request.host": headers.get("host"),
        "request.id": headers.get("x-request-id"),
        "request.method": method,
        "request.path": path,
        "request.referer": headers.get("referer"),
        "request.scheme": headers.get("x-forwarded-proto", "http"),
        "request.url_path": path.partition("?")[0],
        "request.useragent": headers.get("user-agent"),
        **_side("source", source),
        **_side("destination", destination),
    }
    if mtls:
        found["source.principal"] = found["source.user"] = source.principal.removeprefix(
            "spiffe://"
        )
    return {name: value for name, value in found.items() if value is not None}


def _side(prefix: str, workload: Workload) -> dict[str, Any]:
    if workload is NOBODY:
        return {}
    return {
        f"{prefix}.labels": dict(workload.labels),
        f"{prefix}.name": workload.pod,
        f"{prefix}.namespace": workload.namespace,
        f"{prefix}.uid": f"kubernetes://{workload.pod}.{workload.namespace}",
        f"{prefix}.workload.name": workload.workload,
        f"{prefix}.workload.namespace": workload.namespace,
    }
