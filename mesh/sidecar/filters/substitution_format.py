"""Substitution formats: ``%REQ(x-user)%`` and the like in the values of headers.

In a VirtualService the values under ``headers.request`` and ``headers.response`` (``set``, ``add``)
are such formats: header ``x-from`` with ``%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%`` tells the
application who called.  ``%REQ(NAME?ALTERNATIVE):LENGTH%`` and ``%RESP(...)%`` read headers,
``%START_TIME(%Y-%m-%d)%`` the time, ``%%`` is one percent sign; what is absent gives nothing.
A request's values are written before it is answered: its status is 0 there.
See them with ``meshctl curl`` and ``meshctl proxy-config routes POD -o json``.

Source: Envoy, "Access logging", command operators; ``source/common/formatter/``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mitmproxy.http import Response

from mesh.sidecar.filters.head import RequestHead
from mesh.sidecar.start_time import start_time
from mesh.sidecar.stream_info import StreamInfo

Headers = list[tuple[str, str]]
Formatter = Callable[["FormatContext"], str]

_OPERATOR = re.compile(r"%(%|[A-Z_0-9]+(?:\((?:[^)]*)\))?(?::\d+)?%)")
_NOT_HERE = frozenset(
    [
        "ACCESS_LOG_TYPE",
        "BYTES_RETRANSMITTED",
        "CEL",
        "COALESCE",
        "COMMON_DURATION",
        "CONNECTION_ID",
        "CUSTOM_FLAGS",
        "DOWNSTREAM_HANDSHAKE_DURATION",
        "DOWNSTREAM_HEADER_BYTES_RECEIVED",
        "DOWNSTREAM_HEADER_BYTES_SENT",
        "DOWNSTREAM_LOCAL_DNS_SAN",
        "DOWNSTREAM_LOCAL_EMAIL_SAN",
        "DOWNSTREAM_LOCAL_IP_SAN",
        "DOWNSTREAM_LOCAL_OTHERNAME_SAN",
        "DOWNSTREAM_LOCAL_SUBJECT",
        "DOWNSTREAM_PEER_CERT",
        "DOWNSTREAM_PEER_CERT_V_END",
        "DOWNSTREAM_PEER_CERT_V_START",
        "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1",
        "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256",
        "DOWNSTREAM_PEER_CHAIN_SERIALS",
        "DOWNSTREAM_PEER_DNS_SAN",
        "DOWNSTREAM_PEER_EMAIL_SAN",
        "DOWNSTREAM_PEER_FINGERPRINT_1",
        "DOWNSTREAM_PEER_FINGERPRINT_256",
        "DOWNSTREAM_PEER_IP_SAN",
        "DOWNSTREAM_PEER_ISSUER",
        "DOWNSTREAM_PEER_OTHERNAME_SAN",
        "DOWNSTREAM_PEER_SERIAL",
        "DOWNSTREAM_TLS_CIPHER",
        "DOWNSTREAM_TLS_SESSION_ID",
        "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
        "DOWNSTREAM_WIRE_BYTES_RECEIVED",
        "DOWNSTREAM_WIRE_BYTES_SENT",
        "DURATION",
        "DYNAMIC_METADATA",
        "CLUSTER_METADATA",
        "EMIT_TIME",
        "ENVIRONMENT",
        "FILTER_CHAIN_NAME",
        "FILTER_STATE",
        "GRPC_STATUS",
        "GRPC_STATUS_NUMBER",
        "HOSTNAME",
        "JA3_FINGERPRINT",
        "JA4_FINGERPRINT",
        "LOCAL_REPLY_BODY",
        "METADATA",
        "PATH",
        "PER_REQUEST_STATE",
        "QUERY_PARAM",
        "QUERY_PARAMS",
        "REQUESTED_SERVER_NAME",
        "REQUEST_DURATION",
        "REQUEST_HEADERS_BYTES",
        "REQUEST_HEADER_BYTES",
        "REQUEST_TX_DURATION",
        "RESPONSE_DURATION",
        "RESPONSE_FLAGS_LONG",
        "RESPONSE_HEADERS_BYTES",
        "RESPONSE_TRAILERS_BYTES",
        "RESPONSE_TX_DURATION",
        "ROUNDTRIP_DURATION",
        "STREAM_ID",
        "TLS_JA3_FINGERPRINT",
        "TRACE_ID",
        "TRAILER",
        "UNIQUE_ID",
        "UPSTREAM_CLUSTER_RAW",
        "UPSTREAM_CONNECTION_ID",
        "UPSTREAM_CONNECTION_POOL_READY_DURATION",
        "UPSTREAM_FILTER_STATE",
        "UPSTREAM_HEADER_BYTES_RECEIVED",
        "UPSTREAM_HEADER_BYTES_SENT",
        "UPSTREAM_HOST_NAME",
        "UPSTREAM_HOST_NAME_WITHOUT_PORT",
        "UPSTREAM_HOSTS_ATTEMPTED",
        "UPSTREAM_LOCAL_ADDRESS",
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        "UPSTREAM_LOCAL_PORT",
        "UPSTREAM_LOCAL_URI_SAN",
        "UPSTREAM_METADATA",
        "UPSTREAM_PEER_CERT",
        "UPSTREAM_PEER_ISSUER",
        "UPSTREAM_PEER_SUBJECT",
        "UPSTREAM_PEER_URI_SAN",
        "UPSTREAM_REMOTE_ADDRESS",
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        "UPSTREAM_REMOTE_PORT",
        "UPSTREAM_SERVER_NAME",
        "UPSTREAM_TLS_CIPHER",
        "UPSTREAM_TLS_SESSION_ID",
        "UPSTREAM_TLS_VERSION",
        "UPSTREAM_TRANSPORT_FAILURE_REASON",
        "UPSTREAM_WIRE_BYTES_RECEIVED",
        "UPSTREAM_WIRE_BYTES_SENT",
        "VIRTUAL_CLUSTER_NAME",
    ]
)
"""Operators that Envoy knows and that give nothing here (where ``stream_values`` has none)."""


@dataclass(frozen=True, slots=True)
class FormatContext:
    """What operators read: the request, the response's headers, and values by operator name.

    ``values`` has entries such as ``"DOWNSTREAM_REMOTE_ADDRESS"`` (``stream_values``).
    """

    request: RequestHead
    response: Headers = field(default_factory=list)
    values: Mapping[str, str] = field(default_factory=dict)


def stream_values(info: StreamInfo, response: Response | None = None) -> dict[str, str]:
    """Return what operators read of a request, before it is sent on or when it is answered.

    Envoy notes the status of an answer of its own only afterwards: until then it is 0, or the 100 by
    which the sidecar told the client to go on.
    """
    connection = info.connection
    own = connection.tls.own if connection.tls is not None else None
    peer = connection.peer
    theirs = response is not None and info.details == "via_upstream"
    status = response.status_code if theirs and response is not None else info.response_code
    attempts = info.attempts if response is not None else 1
    values = {
        "START_TIME": str(info.start),
        "PROTOCOL": info.protocol,
        "UPSTREAM_PROTOCOL": info.upstream_connection.protocol if theirs else "",
        "UPSTREAM_HOST": info.upstream_host,
        "UPSTREAM_CLUSTER": info.cluster,
        "UPSTREAM_CLUSTER_RAW": info.cluster,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT": str(attempts),
        "ROUTE_NAME": info.route_name,
        "RESPONSE_CODE": str(status),
        "RESPONSE_FLAGS": info.flags_text(),
        "RESPONSE_CODE_DETAILS": info.details,
        "CONNECTION_TERMINATION_DETAILS": info.connection_termination_details,
        "BYTES_RECEIVED": str(info.bytes_received if response is not None else 0),
        "BYTES_SENT": "0",
        "REQUESTED_SERVER_NAME": info.requested_server_name,
        "DOWNSTREAM_PEER_URI_SAN": info.downstream_peer_uri_san,
        "DOWNSTREAM_PEER_SUBJECT": peer.subject if peer is not None else "",
        "DOWNSTREAM_LOCAL_URI_SAN": ",".join(own.uri_sans) if own is not None else "",
        "DOWNSTREAM_TLS_VERSION": connection.tls.version if connection.tls is not None else "",
    }
    values |= _address("DOWNSTREAM_REMOTE", info.downstream_remote_address)
    for name, (address, port) in (
        ("DOWNSTREAM_DIRECT_REMOTE", connection.remote),
        ("DOWNSTREAM_LOCAL", connection.original or connection.local),
    ):
        values |= _address(name, f"{address}:{port}" if address else "")
    return values


def _address(name: str, text: str) -> dict[str, str]:
    """The three forms of an address ``IP:PORT``: whole, without the port, the port alone."""
    address, _, port = text.rpartition(":")
    return {f"{name}_ADDRESS": text, f"{name}_ADDRESS_WITHOUT_PORT": address, f"{name}_PORT": port}


def compile_format(text: str) -> Formatter:
    """Compile a format; ValueError for a stray ``%`` and for an operator that Envoy does not know."""
    parts: list[str | tuple[str, str, int | None]] = []
    position = 0
    literals = []
    for found in _OPERATOR.finditer(text):
        literals.append(text[position : found.start()])
        position = found.end()
        body = found.group(1)
        parts += [literals[-1], "%" if body == "%" else _parse_operator(body[:-1])]
    literals.append(text[position:])
    parts.append(literals[-1])
    if any("%" in literal for literal in literals):
        raise ValueError(f"{text!r} has a % that begins no operator (write %% for a percent sign)")
    constant = all(isinstance(part, str) for part in parts)
    fixed = "".join(part for part in parts if isinstance(part, str)) if constant else ""

    def format_value(context: FormatContext) -> str:
        if constant:
            return fixed
        return "".join(
            part if isinstance(part, str) else _evaluate(part, context) for part in parts
        )

    return format_value


def _parse_operator(body: str) -> tuple[str, str, int | None]:
    operator, _, rest = body.partition("(")
    argument, length = "", ""
    if rest:
        argument, _, tail = rest.rpartition(")")
        length = tail[1:]
    else:
        operator, _, length = operator.partition(":")
    if operator not in _KNOWN:
        raise ValueError(f"%{operator}% is no command operator of Envoy")
    return operator, argument, int(length) if length else None


def _evaluate(part: tuple[str, str, int | None], context: FormatContext) -> str:
    operator, argument, length = part
    value = ""
    if operator in ("REQ", "RESP"):
        for name in argument.lower().split("?"):
            if operator == "REQ":
                value = next(iter(context.request.values(name)), "")  # the first of repeats
            else:
                value = next((text for key, text in context.response if key == name), "")
            if value:
                break
    elif operator == "START_TIME":
        value = start_time(float(context.values.get("START_TIME", 0)), argument)
    else:
        value = context.values.get(operator, "")
    return value if length is None else value[:length]


_KNOWN = _NOT_HERE | {"REQ", "RESP"} | stream_values(StreamInfo(0.0, 0.0)).keys()
