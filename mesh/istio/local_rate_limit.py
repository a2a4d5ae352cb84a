"""The EnvoyFilter patches that are a local rate limit, in the shape of Istio's task.

    applyTo: HTTP_FILTER                  the filter into sidecars (SIDECAR_INBOUND) or gateways
    applyTo: VIRTUAL_HOST or HTTP_ROUTE   MERGE of typed_per_filter_config: a bucket of its own

Beside it patches of clusters (``mesh.pilot.translate.envoy_filter``) and limits of the HTTP connection
manager (``connection_manager``) are executed.  Everything else
is accepted and has no effect; ``read`` says why, in the words that ``analyze`` and ``apply`` print.
Sources: Istio, "Enabling Rate Limits using Envoy"; Envoy, LocalRateLimit and TokenBucket.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mesh.istio.models.envoy_filter import ConfigObjectMatch, ConfigPatch

FILTER = "envoy.filters.http.local_ratelimit"
TYPE = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
MANAGER = "envoy.filters.network.http_connection_manager"
_STRUCTS = (
    "type.googleapis.com/udpa.type.v1.TypedStruct",
    "type.googleapis.com/xds.type.v3.TypedStruct",
)
_CONTEXTS = ("SIDECAR_INBOUND", "GATEWAY")
_INSERTS = ("INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST")
_FIELDS = frozenset(
    [
        "stat_prefix",
        "status",
        "token_bucket",
        "filter_enabled",
        "filter_enforced",
        "response_headers_to_add",
        "rate_limited_as_resource_exhausted",
    ]
)
_DENOMINATORS = ("HUNDRED", "TEN_THOUSAND", "MILLION")

Context = Literal["SIDECAR_INBOUND", "GATEWAY"]


class NoEffectError(Exception):
    """The patch is not executed here; why, in a few words."""


class BadLimitError(Exception):
    """Istio would refuse the patch; ``path`` is the place below ``patch.value``."""

    def __init__(self, path: tuple[str, ...], text: str) -> None:
        super().__init__(text)
        self.path = path


@dataclass(frozen=True, slots=True)
class Insert:
    """Put a filter into listeners; ``config`` is a LocalRateLimit in protobuf's JSON form.

    ``port`` 0: every port.  ``beside`` is the filter before or after which it goes; empty: all.
    """

    context: Context
    name: str
    config: Mapping[str, Any]
    port: int
    operation: str
    beside: str


@dataclass(frozen=True, slots=True)
class Override:
    """Give virtual hosts, or (``routes``) their routes, a configuration of the filter ``name``.

    Empty: any.  ``action`` is ``ROUTE``, ``REDIRECT``, ``DIRECT_RESPONSE`` or empty.
    """

    context: Context
    name: str
    config: Mapping[str, Any]
    routes: bool
    port: int
    table: str
    host: str
    route: str
    action: str


def read(patch: ConfigPatch) -> list[Insert | Override]:
    """Return what a patch does.  NoEffectError, BadLimitError otherwise."""
    made = patch.patch
    value: Mapping[str, Any] = (made.value if made else None) or {}
    operation = (made.operation if made else None) or "INVALID"
    match = patch.match or ConfigObjectMatch()
    if patch.apply_to not in ("HTTP_FILTER", "VIRTUAL_HOST", "HTTP_ROUTE"):
        raise NoEffectError(f"applyTo: {patch.apply_to} is not executed")
    if match.context not in _CONTEXTS:
        raise NoEffectError(f"context: {match.context} is not executed")
    if match.proxy is not None:
        raise NoEffectError("match.proxy is not executed")
    if patch.apply_to == "HTTP_FILTER":
        return [_insert(match, operation, value)]
    if operation != "MERGE":
        raise NoEffectError(f"operation: {operation} of a {patch.apply_to} is not executed")
    return _overrides(match, patch.apply_to == "HTTP_ROUTE", value)


def _insert(match: ConfigObjectMatch, operation: str, value: Mapping[str, Any]) -> Insert:
    listener = match.listener
    chain = listener.filter_chain if listener else None
    wanted = chain.filter if chain else None
    if operation not in _INSERTS:
        raise NoEffectError(f"operation: {operation} of an HTTP_FILTER is not executed")
    if listener and (listener.name or listener.port_name or listener.listener_filter):
        raise NoEffectError("a listener is picked by its portNumber only")
    if chain and (chain.name or chain.sni or chain.transport_protocol or chain.destination_port):
        raise NoEffectError("a filterChain is picked by its filter only")
    if wanted and wanted.name and wanted.name != MANAGER:
        raise NoEffectError(f"filter.name: {wanted.name} is in no listener")
    beside = (wanted.sub_filter.name or "") if wanted and wanted.sub_filter else ""
    if operation == "INSERT_AFTER" and not beside:
        raise NoEffectError("INSERT_AFTER without a subFilter would be behind the router")
    name = str(value.get("name") or "")
    config = _limit(value.get("typed_config", value.get("typedConfig")), ("typed_config",))
    return Insert(
        _context(match), name, config, (listener.port_number or 0) if listener else 0,
        operation, beside,
    )  # fmt: skip


def _overrides(
    match: ConfigObjectMatch, routes: bool, value: Mapping[str, Any]
) -> list[Insert | Override]:
    key = "typed_per_filter_config"
    configs = value.get(key, value.get("typedPerFilterConfig"))
    others = [each for each in value if each not in (key, "typedPerFilterConfig")]
    if others or not isinstance(configs, Mapping) or not configs:
        raise NoEffectError(f"only typed_per_filter_config is merged, not {', '.join(others)}")
    table = match.route_configuration
    host = table.vhost if table else None
    route = host.route if host else None
    if table and (table.gateway or table.port_name):
        raise NoEffectError("a routeConfiguration is picked by portNumber and name only")
    action = (route.action or "") if route else ""
    return [
        Override(
            context=_context(match),
            name=str(name),
            config=_limit(config, (key, str(name))),
            routes=routes,
            port=(table.port_number or 0) if table else 0,
            table=(table.name or "") if table else "",
            host=(host.name or "") if host else "",
            route=(route.name or "") if route else "",
            action="" if action == "ANY" else action,
        )
        for name, config in configs.items()
    ]


def _context(match: ConfigObjectMatch) -> Context:
    return "GATEWAY" if match.context == "GATEWAY" else "SIDECAR_INBOUND"


def _limit(typed: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """Return the LocalRateLimit inside of a typed configuration, its fields in snake case."""
    if not isinstance(typed, Mapping):
        raise NoEffectError(f"{path[0]} is missing")
    kind, config = typed.get("@type"), {k: v for k, v in typed.items() if k != "@type"}
    if kind in _STRUCTS:
        kind, config = typed.get("type_url", typed.get("typeUrl")), typed.get("value") or {}
        path = (*path, "value")
    if kind != TYPE:
        raise NoEffectError(f"a filter of type {kind} is not executed")
    if not isinstance(config, Mapping):
        raise BadLimitError(path, "a LocalRateLimit is a mapping")
    found = {snake(str(key)): each for key, each in config.items()}
    strange = sorted(found.keys() - _FIELDS)
    if strange:
        raise NoEffectError(f"{', '.join(strange)} of LocalRateLimit is not executed")
    _bucket(found.get("token_bucket"), (*path, "token_bucket"))
    for key in ("filter_enabled", "filter_enforced"):
        _share(found.get(key), (*path, key))
    return found


def _bucket(bucket: Any, path: tuple[str, ...]) -> None:
    if bucket is None:
        return
    if not isinstance(bucket, Mapping):
        raise BadLimitError(path, "token_bucket is a mapping")
    for key, each in bucket.items():
        name = snake(str(key))
        if name in ("max_tokens", "tokens_per_fill"):
            if not isinstance(each, int) or isinstance(each, bool) or each < 1:
                raise BadLimitError((*path, str(key)), f"{name} is a whole number from 1")
        elif name == "fill_interval":
            if not isinstance(each, str) or not re.fullmatch(r"\d+(\.\d{1,9})?s", each):
                raise BadLimitError((*path, str(key)), "fill_interval is a duration like 60s")
        else:
            raise BadLimitError((*path, str(key)), f"TokenBucket has no field {key}")
    if "fill_interval" not in {snake(str(key)) for key in bucket}:
        raise BadLimitError(path, "token_bucket needs a fill_interval")


def _share(share: Any, path: tuple[str, ...]) -> None:
    if share is None:
        return
    values = {snake(str(k)): v for k, v in share.items()} if isinstance(share, Mapping) else {}
    percent = values.get("default_value")
    if not isinstance(percent, Mapping):
        raise BadLimitError(path, "default_value with numerator and denominator is missing")
    numerator = percent.get("numerator", 0)
    if not isinstance(numerator, int) or numerator < 0:
        raise BadLimitError(path, "numerator is a whole number")
    if percent.get("denominator", "HUNDRED") not in _DENOMINATORS:
        raise BadLimitError(path, f"denominator is one of {', '.join(_DENOMINATORS)}")


def snake(name: str) -> str:
    """``maxTokens`` -> ``max_tokens``."""
    return re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), name)
