"""What happened in a step, without what no two runs share.

Dates, request ids, times, ports and the random letters of pod names go; the rest (status, body,
headers, what the backend received, the access log) is evidence that both engines must agree on.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from mesh.accesslog import AccessLogRecord
from mesh.testbed.base import Answer
from mesh.topology import INJECT, Pod, Topology

ANY = "*"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "date"}
_VOLATILE = {
    "x-request-id",
    "x-envoy-upstream-service-time",
    "traceparent",
    "tracestate",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
}
_TIME_LEFT, _ATTEMPT = "x-envoy-expected-rq-timeout-ms", "x-envoy-attempt-count"
_RECORD_FIELDS = (
    "method",
    "path",
    "protocol",
    "authority",
    "response_code",
    "response_flags",
    "response_code_details",
    "upstream_transport_failure_reason",
    "upstream_cluster",
    "upstream_request_attempt_count",
    "route_name",
    "downstream_peer_uri_san",
    "requested_server_name",
)
_VARYING = re.compile(r"(127\.0\.0\.1:|remote_address:/)[^\s,}|]+")
_HASH = re.compile(r"Hash=[0-9a-f]{64}")
_CERTIFICATE = re.compile(r'Cert="[^"]*"')
"""Fingerprint and text of a caller's certificate in x-forwarded-client-cert: others on every run."""
_SINGLE_B3 = re.compile(r"^([0-9a-f]{16,32})-([0-9a-f]{16})(-[01])(-[0-9a-f]{16})?$")
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Observation:
    """One step on one engine: a row for each answer and each access log record, and counts.

    ``caller`` are the records of the caller's own sidecar (or of the gateway), ``requests`` what
    reached applications, in order of arrival.
    """

    answers: list[Row]
    records: list[Row]
    caller: list[Row]
    backends: dict[str, int]
    requests: list[Row] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form: equal rows once, with their number."""
        return {
            "answers": _counted(self.answers),
            "records": _counted(self.records),
            "requests": _counted(self.requests),
            "backends": self.backends,
        }


def _counted(rows: Iterable[Row]) -> list[dict[str, Any]]:
    counts = Counter(json.dumps(row, sort_keys=True) for row in rows)
    return [{"count": count, **json.loads(text)} for text, count in sorted(counts.items())]


@dataclass(frozen=True, slots=True)
class Names:
    """Which workload a pod belongs to, and which addresses are this machine's."""

    workloads: Mapping[str, str]
    gateway: str
    addresses: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()
    """Pods without a sidecar, and hosts outside of the mesh."""
    egress: str = ""

    @classmethod
    def of(cls, pods: Sequence[Pod], mesh: Topology) -> Names:
        """Read them from the running pods and the topology: gateways, hosts outside."""
        found = psutil.net_if_addrs().values()
        addresses = frozenset(each.address for interface in found for each in interface)
        bare = frozenset(pod.name for pod in pods if pod.labels.get(INJECT) == "false")
        bare |= {each.name for each in mesh.world}
        workloads = {pod.name: pod.workload for pod in pods}
        return cls(workloads, mesh.gateway, addresses, bare, mesh.egress_gateway)

    def workload(self, pod: str) -> str:
        """Return a pod's workload, ``gateway`` or ``egress``; an unknown pod's own name."""
        if self.gateway and pod.startswith(self.gateway):
            return "gateway"
        if self.egress and pod.startswith(self.egress):
            return "egress"
        return self.workloads.get(pod, pod)

    def here(self, text: str) -> str:
        """Replace this machine's addresses by 127.0.0.1.

        For a client on the loopback interface Envoy writes the machine's own address into
        x-forwarded-for, which another machine has not.
        """
        parts = [part.strip() for part in text.split(",")]
        if not self.addresses.intersection(parts):
            return text
        return ", ".join("127.0.0.1" if part in self.addresses else part for part in parts)

    def clean(self, text: str) -> str:
        """Replace pod names by their workload; take out ports, socket paths and fingerprints."""
        text = _HASH.sub("Hash=*", _VARYING.sub(r"\1*", text))
        text = _CERTIFICATE.sub('Cert="*"', text)
        for pod, workload in self.workloads.items():
            text = text.replace(pod, workload)
        return text


def answer_row(answer: Answer, names: Names) -> Row:
    """Bring an answer into a row: status, body, ``header.NAME``, ``received.NAME``."""
    row = {"status": str(answer.status)}
    echo = _echo(answer.text)
    for name, value in answer.headers:
        if name in _HOP_BY_HOP or (name == "content-length" and echo):
            continue
        key = f"header.{name}"
        shown = ANY if name in _VOLATILE else _cookie(value) if name == "set-cookie" else value
        row[key] = f"{row[key]}, {shown}" if key in row else shown
    if not echo:
        row["body"] = names.clean(answer.text)
        return row
    row["backend"] = names.workload(str(echo["pod"]))
    for name in ("method", "path", "body"):
        row[f"received.:{name}"] = str(echo.get(name, ""))
    for name, value in _received(echo["headers"], names).items():
        row[f"received.{name}"] = value
    return row


def _cookie(value: str) -> str:
    """Take the value out of a set-cookie header: a cookie that a sidecar makes is a draw."""
    name, separator, rest = value.partition("=")
    _, semicolon, attributes = rest.partition(";")
    return f"{name}{separator}{ANY}{semicolon}{attributes}"


def _received(headers: Mapping[str, object], names: Names) -> Row:
    """Return the headers of a request as an application saw them.

    How much of the time is left for a second try nobody knows in advance.
    """
    found = {}
    for name, value in headers.items():
        left = name == _TIME_LEFT and headers.get(_ATTEMPT, "1") != "1"
        drawn = name in _VOLATILE or left
        found[name] = ANY if drawn else names.clean(names.here(str(value)))
        if name == "b3":
            found[name] = _SINGLE_B3.sub(_without_draws, str(value))
    return found


def _without_draws(found: re.Match[str]) -> str:
    """Take out of a header b3 what a sidecar draws: its span, and the trace that begins with it."""
    trace, span, sampled, parent = found.groups(default="")
    return f"{ANY if trace.endswith(span) else trace}-{ANY}{sampled}{parent}"


def request_rows(journal: Iterable[Mapping[str, Any]], names: Names) -> list[Row]:
    """Bring what applications received into rows: ``backend``, ``:method``, ``:path``, headers."""
    return [
        {
            "backend": names.workload(str(line.get("pod", ""))),
            ":method": str(line.get("method", "")),
            ":path": str(line.get("path", "")),
            **_received(line.get("headers") or {}, names),
        }
        for line in journal
    ]


def _echo(text: str) -> dict[str, Any]:
    """Return the JSON of a scripted backend that says what it received, ``{}`` for other bodies."""
    if not text.startswith("{"):
        return {}
    try:
        data = json.loads(text)
    except ValueError:
        return {}
    known = isinstance(data, dict) and "pod" in data and isinstance(data.get("headers"), dict)
    return data if known else {}


def record_row(record: AccessLogRecord, names: Names) -> Row:
    """Bring an access log record into a row: who wrote it, and what is not a time or a port."""
    row = {"by": f"{names.workload(record.pod)} {record.direction}"}
    for name in _RECORD_FIELDS:
        row[name] = names.clean(str(getattr(record, name)))
    return row


def backends(journal: Iterable[Mapping[str, Any]], names: Names) -> dict[str, int]:
    """Count the requests that each workload's applications handled."""
    found = Counter(names.workload(str(line.get("pod", ""))) for line in journal)
    return dict(sorted(found.items()))
