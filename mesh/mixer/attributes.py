"""Attributes: what expressions read about a request, before it is answered and in its record.

Source: Istio 1.4, "Attribute vocabulary" (reference/config/policy-and-telemetry).  Only what a
sidecar can tell is there; anything else is absent, as in Mixer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.accesslog import AccessLogRecord
from mesh.mixer.exchange import Parties
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


def at_gateway(
    gateway: Workload,
    service: str,
    method: str,
    path: str,
    headers: Mapping[str, str],
    mtls: bool,
) -> dict[str, Any]:
    """Return the attributes of a request that a gateway is about to send to ``service``.

    The gateway is the source; of the destination only the service is known (``""``: not even that),
    no pod and so no labels.  Source: Istio 1.0 ``pilot/pkg/networking/plugin/mixer/mixer.go``.
    """
    found = of_request(gateway, NOBODY, method, path, headers, mtls)
    for name in [each for each in found if each.startswith("destination.")]:
        del found[name]
    found["context.reporter.kind"] = "outbound"
    found["context.reporter.uid"] = f"kubernetes://{gateway.pod}.{gateway.namespace}"
    found.pop("source.principal", None)  # whose certificate that was, only the service could say
    found.pop("source.user", None)
    if service:
        found["destination.service"] = found["destination.service.host"] = service
        parts = service.split(".")
        if len(parts) > 2 and parts[2] == "svc":
            found["destination.service.name"] = parts[0]
            found["destination.service.namespace"] = parts[1]
    return found


def of_record(record: AccessLogRecord, parties: Parties) -> dict[str, Any]:
    """Return the attributes of an access log record, Mixer's names and Telemetry's (CEL).

    Of the headers only those are there that the log has: user-agent, x-request-id, x-forwarded-for.
    """
    headers = {
        "host": record.authority,
        "user-agent": record.user_agent,
        "x-forwarded-for": record.x_forwarded_for,
        "x-request-id": record.request_id,
    }
    shown = {name: value for name, value in headers.items() if value}
    mtls = bool(parties.mtls)
    found = of_request(parties.source, parties.destination, record.method, record.path, shown, mtls)
    service = parties.service
    found |= {
        "context.proxy_error_code": record.response_flags or "-",
        "context.reporter.kind": "inbound" if parties.reporter == "destination" else "outbound",
        "context.reporter.uid": f"kubernetes://{record.pod}",
        "destination.service": service,
        "destination.service.host": service,
        "destination.service.name": parties.service_name,
        "destination.service.namespace": parties.service_namespace,
        "request.duration": record.duration,
        "request.protocol": record.protocol,
        "request.size": record.bytes_received,
        "request.time": record.start_time,
        "response.code": record.response_code,
        "response.duration": f"{record.duration}ms",
        "response.size": record.bytes_sent,
        "upstream.cluster_name": record.upstream_cluster,
        "xds.route_name": record.route_name,
    }
    for name in ("source", "destination"):
        found.setdefault(f"{name}.workload.name", None)
    return {name: value for name, value in found.items() if value not in (None, "")}


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
