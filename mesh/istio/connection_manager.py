"""The EnvoyFilter patches that set limits of the HTTP connection manager.

    applyTo: NETWORK_FILTER, operation: MERGE, filter.name: envoy.filters.network.http_connection_manager

How long and how large a request may be, how many a connection carries, how long it may idle: Istio
has no field for most of them.  ``LIMITS`` and ``COMMON`` are the fields that both data planes execute.
Sources: Envoy, HttpConnectionManager and HttpProtocolOptions; istio/istio
``pilot/pkg/networking/core/envoyfilter/listener_patch.go``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.istio.local_rate_limit import MANAGER, BadLimitError, NoEffectError, snake
from mesh.istio.models.envoy_filter import ConfigObjectMatch, ConfigPatch

TYPE = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
    "HttpConnectionManager"
)
DURATION = "duration"
LIMITS: Mapping[str, str | tuple[int, int]] = {
    "stream_idle_timeout": DURATION,
    "request_timeout": DURATION,
    "request_headers_timeout": DURATION,
    "delayed_close_timeout": DURATION,
    "drain_timeout": DURATION,
    "max_request_headers_kb": (1, 8192),
}
"""Fields and what they take: a duration, or a whole number from .. to."""
COMMON_FIELD = "common_http_protocol_options"
COMMON: Mapping[str, str | tuple[int, int]] = {
    "idle_timeout": DURATION,
    "max_connection_duration": DURATION,
    "max_stream_duration": DURATION,
    "max_headers_count": (1, 2**32 - 1),
    "max_requests_per_connection": (0, 2**32 - 1),
}
_CONTEXTS = ("ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a patch sets, as protobuf's JSON form with fields in snake case.

    ``context`` is one of Istio's, ``port`` 0 every port.
    """

    context: str
    port: int
    config: Mapping[str, Any]

    def holds(self, context: str, port: int) -> bool:
        """Whether the listener of ``port`` in ``context`` is meant."""
        return self.context in ("ANY", context) and self.port in (0, port)


def read(patch: ConfigPatch) -> Limits:
    """Return the limits that a patch of a NETWORK_FILTER sets.  NoEffectError, BadLimitError otherwise."""
    operation = (patch.patch.operation if patch.patch else None) or "INVALID"
    value: Mapping[str, Any] = (patch.patch.value if patch.patch else None) or {}
    match = patch.match or ConfigObjectMatch()
    if operation != "MERGE":
        raise NoEffectError(f"operation: {operation} of a NETWORK_FILTER is not executed")
    context = match.context or "ANY"
    if context not in _CONTEXTS:
        raise NoEffectError(f"context: {context} is not executed")
    if match.proxy is not None:
        raise NoEffectError("match.proxy is not executed")
    port = _port(match, context)
    typed = value.get("typed_config", value.get("typedConfig"))
    if not isinstance(typed, Mapping) or typed.get("@type") != TYPE:
        raise NoEffectError("only a typed_config of the HTTP connection manager is merged")
    return Limits(context, port, _limits(typed))


def _port(match: ConfigObjectMatch, context: str) -> int:
    listener = match.listener
    chain = listener.filter_chain if listener else None
    wanted = chain.filter if chain else None
    if wanted is None or wanted.name != MANAGER:
        raise NoEffectError(f"a NETWORK_FILTER is picked by filter.name: {MANAGER}")
    if listener is None or listener.name or listener.port_name or listener.listener_filter:
        raise NoEffectError("a listener is picked by its portNumber only")
    if chain and (chain.name or chain.sni or chain.transport_protocol or chain.destination_port):
        raise NoEffectError("a filterChain is picked by its filter only")
    port = listener.port_number or 0
    if port and context in ("ANY", "SIDECAR_OUTBOUND"):
        raise NoEffectError("a sidecar sends to all ports by one listener: portNumber picks none")
    return port


def _limits(typed: Mapping[str, Any]) -> dict[str, Any]:
    path = ("typed_config",)
    found = {snake(str(key)): each for key, each in typed.items() if key != "@type"}
    common = found.pop(COMMON_FIELD, {})
    if not isinstance(common, Mapping):
        raise BadLimitError((*path, COMMON_FIELD), f"{COMMON_FIELD} is a mapping")
    options = {snake(str(key)): each for key, each in common.items()}
    strange = [*sorted(found.keys() - LIMITS), *sorted(options.keys() - COMMON)]
    if strange:
        known = ", ".join([*LIMITS, *(f"{COMMON_FIELD}.{each}" for each in COMMON)])
        raise NoEffectError(f"{', '.join(strange)} is not merged; these are: {known}")
    for fields, rules, place in (
        (found, LIMITS, path),
        (options, COMMON, (*path, COMMON_FIELD)),
    ):
        for name, each in fields.items():
            _check(name, each, rules[name], (*place, name))
    return found | ({COMMON_FIELD: options} if options else {})


def _check(name: str, value: Any, rule: str | tuple[int, int], path: tuple[str, ...]) -> None:
    if isinstance(rule, str):
        if not isinstance(value, str) or not re.fullmatch(r"\d+(\.\d{1,9})?s", value):
            raise BadLimitError(path, f"{name} is a duration like 60s")
        return
    least, most = rule
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadLimitError(path, f"{name} is a whole number from {least} to {most}")
