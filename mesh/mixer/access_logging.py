"""Telemetry ``spec.accessLogging``: which requests the access log of a workload shows.

``disabled`` turns the log off, ``filter.expression`` (CEL) leaves out what it does not hold for,
``match.mode`` is the side (CLIENT: requests sent, a gateway's too; SERVER: received).  As in Istio a
filter counts only where ``providers`` name the log it is for: ``envoy``, the mesh's own.  In a real
mesh Envoy then writes less; here metrics, graph and scores are counted from the complete files, so
the same rules choose what is shown.  Of CEL there are attributes, literals, comparisons, ``&&``, ``||``,
``!`` and ``startsWith``, ``endsWith``; an expression without a value shows nothing, as in Envoy.
Source: istio/istio 1.28 ``pilot/pkg/model/telemetry.go`` (mergeLogs); Envoy, "Attributes".
Shown by ``meshctl logs POD``; ``--all`` shows what was left out too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.accesslog import AccessLogRecord
from mesh.istio.mixer_expression import AbsentError, ExpressionError, Node, evaluate, parse
from mesh.istio.models.telemetry import AccessLogging as Entry
from mesh.istio.models.telemetry import Telemetry
from mesh.istio.resource import Resource
from mesh.mixer.telemetry import in_force

PROVIDER = "envoy"
"""The mesh's default provider: what ``meshConfig.accessLogFile`` turns on."""
_MODES = {"outbound": "CLIENT", "inbound": "SERVER"}


@dataclass(frozen=True, slots=True)
class Shown:
    """What holds for one side of a workload: nothing is shown, or what ``filter`` holds for."""

    on: bool = True
    filter: Node | None = None

    def __call__(self, record: AccessLogRecord) -> bool:
        """Tell whether a record is shown."""
        if not self.on or self.filter is None:
            return self.on
        try:
            return evaluate(self.filter, attributes(record)) is True
        except AbsentError:
            return False


class AccessLogging:
    """The rules of a mesh's Telemetry resources."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        self._specs = [
            (each.namespace, each.spec)
            for each in resources
            if isinstance(each.spec, Telemetry) and each.spec.access_logging
        ]

    def of(self, namespace: str, labels: Mapping[str, str]) -> dict[str, Shown]:
        """Return what holds for a workload, by direction; empty where no Telemetry says anything."""
        found = [each.access_logging or [] for each in in_force(self._specs, namespace, labels)]
        if not found:
            return {}
        return {direction: _merge(found, mode) for direction, mode in _MODES.items()}


def _merge(logs: list[list[Entry]], mode: str) -> Shown:
    """Merge entries, broad to narrow, as istiod does."""
    in_scope, filters = [PROVIDER], dict[str, Node | None]()
    for entries in logs:
        names: dict[str, None] = {}
        for each in entries:
            if _is_for(each, mode):
                for name in _providers(each):
                    names[name], filters[name] = None, _filter(each)
        in_scope = list(names) or in_scope
    found: dict[str, Shown] = {}
    parents = [PROVIDER]
    for each in [entry for entries in logs for entry in entries]:
        parents = _providers(each) or parents
        for name in parents:
            if name in in_scope and _is_for(each, mode):
                found[name] = Shown(False) if each.disabled else Shown(True, filters.get(name))
    # Where nothing is chosen at all, meshConfig.accessLogFile is in force.
    return found.get(PROVIDER, Shown(False)) if found else Shown()


def _is_for(entry: Entry, mode: str) -> bool:
    wanted = entry.match.mode if entry.match else None
    return wanted in (None, "CLIENT_AND_SERVER", mode)


def _providers(entry: Entry) -> list[str]:
    return [each.name for each in entry.providers or []]


def _filter(entry: Entry) -> Node | None:
    if entry.filter is None or not entry.filter.expression:
        return None
    try:
        return parse(entry.filter.expression)
    except ExpressionError:
        return None  # the validation has said so


def attributes(record: AccessLogRecord) -> dict[str, Any]:
    """Return Envoy's attributes of a record; what the log does not have is absent."""
    headers = {
        "user-agent": record.user_agent,
        "x-forwarded-for": record.x_forwarded_for,
        "x-request-id": record.request_id,
    }
    found: dict[str, Any] = {
        "request.method": record.method,
        "request.path": record.path,
        "request.url_path": record.path.partition("?")[0],
        "request.query": record.path.partition("?")[2],
        "request.host": record.authority,
        "request.id": record.request_id,
        "request.useragent": record.user_agent,
        "request.protocol": record.protocol,
        "request.headers": {name: value for name, value in headers.items() if value},
        "response.code_details": record.response_code_details,
        "connection.requested_server_name": record.requested_server_name,
        "connection.termination_details": record.connection_termination_details,
        "connection.uri_san_peer_certificate": record.downstream_peer_uri_san,
        "source.address": record.downstream_remote_address,
        "upstream.address": record.upstream_host,
        "upstream.transport_failure_reason": record.upstream_transport_failure_reason,
        "xds.cluster_name": record.upstream_cluster,
        "xds.route_name": record.route_name,
    }
    known = {name: value for name, value in found.items() if value not in ("", None)}
    if record.response_code:
        known["response.code"] = record.response_code
    return known | {
        "connection.mtls": bool(record.downstream_peer_uri_san),
        "request.size": record.bytes_received,
        "response.size": record.bytes_sent,
    }
