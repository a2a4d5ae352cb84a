"""AccessLogRecord: what one sidecar says about one request, the same from both engines.

In a real mesh this is the Envoy access log that ``meshConfig.accessLogFile`` turns on.  The
control plane writes ``JSON_FORMAT`` into every listener; Envoy and the mitmproxy sidecar both
execute it, so metrics, traces and the grader's evidence read one schema.
See it with ``meshctl logs POD``.

Source of the operators: Envoy, "Access logging" (configuration/observability/access_log/usage).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import uuid4

JSON_FORMAT: dict[str, str] = {
    "start_time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%6fZ)%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_request_attempt_count": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream_hosts_attempted": "%UPSTREAM_HOSTS_ATTEMPTED%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "downstream_peer_uri_san": "%DOWNSTREAM_PEER_URI_SAN%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "route_name": "%ROUTE_NAME%",
    "traceparent": "%REQ(TRACEPARENT)%",
    "b3_trace_id": "%REQ(X-B3-TRACEID)%",
    "b3_span_id": "%REQ(X-B3-SPANID)%",
    "b3_sampled": "%REQ(X-B3-SAMPLED)%",
    "trace_id": "%TRACE_ID%",
    "downstream_peer": "%DYNAMIC_METADATA(istio.peer:downstream)%",
}
"""Field of the record -> Envoy command operator.  ``direction`` is added per listener as a literal."""

PEER_HEADER = "x-envoy-peer-metadata-id"
"""A sidecar says in it who it is (its node id); the next one takes it away before the application.

Istio's sidecars exchange the same header where there is no certificate (istio/proxy
``peer_metadata``).
"""
PEER_NAMESPACE, PEER_KEY = "istio.peer", "downstream"
"""Where the receiving sidecar keeps the header's value, for its log."""


@dataclass(frozen=True, slots=True)
class AccessLogRecord:
    """One line of an access log.

    ``pod`` wrote it; ``direction`` is ``inbound`` or ``outbound``; ``duration`` is in
    milliseconds, sizes in bytes; an absent value is ``""`` (Envoy prints null or ``-``), an
    absent number 0.  ``response_code`` 0 means that no answer was sent.  ``downstream_peer`` is the
    node id of the sidecar that sent the request; ``b3_*`` are the headers that went upstream,
    ``trace_id`` is known without them too (an aborted request).
    """

    pod: str
    direction: str = ""
    start_time: str = ""
    method: str = ""
    path: str = ""
    protocol: str = ""
    response_code: int = 0
    response_flags: str = ""
    response_code_details: str = ""
    connection_termination_details: str = ""
    upstream_transport_failure_reason: str = ""
    bytes_received: int = 0
    bytes_sent: int = 0
    duration: int = 0
    upstream_service_time: str = ""
    x_forwarded_for: str = ""
    user_agent: str = ""
    request_id: str = ""
    authority: str = ""
    upstream_host: str = ""
    upstream_cluster: str = ""
    upstream_request_attempt_count: int = 0
    upstream_hosts_attempted: str = ""
    downstream_remote_address: str = ""
    downstream_peer_uri_san: str = ""
    requested_server_name: str = ""
    route_name: str = ""
    traceparent: str = ""
    b3_trace_id: str = ""
    b3_span_id: str = ""
    b3_sampled: str = ""
    trace_id: str = ""
    downstream_peer: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def new_request_id() -> str:
    """Return an ``x-request-id`` that sidecars take as it is, with the decision to trace in it.

    In a plain UUID they would note their own decision: its digit 4 (the version) becomes 9.
    """
    text = str(uuid4())
    return f"{text[:14]}9{text[15:]}"


_NUMBERS = {item.name for item in fields(AccessLogRecord) if item.type == "int"}
_KNOWN = {item.name for item in fields(AccessLogRecord)} - {"pod", "extra"}


def parse_record(pod: str, line: str) -> AccessLogRecord:
    """Read one JSON line of ``pod``'s access log; ``-`` and null become ``""`` or 0.

    Raises ValueError when the line is not a JSON object (a line cut short by a killed process).
    """
    raw = json.loads(line)
    if not isinstance(raw, dict):
        raise ValueError(f"an access log line of {pod} is not a JSON object: {line[:80]!r}")
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in _KNOWN:
            extra[key] = value
        elif value is None or value == "-":
            continue  # the defaults say the same
        elif key in _NUMBERS:
            known[key] = int(value)
        else:
            known[key] = value if isinstance(value, str) else str(value)
    return AccessLogRecord(pod=pod, extra=extra, **known)
