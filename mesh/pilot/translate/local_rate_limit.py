"""Local rate limit: Envoy's token bucket, put into listeners, virtual hosts and routes by EnvoyFilter.

``HTTP_FILTER`` puts the filter in front of a sidecar's application or into a gateway,
``VIRTUAL_HOST`` and ``HTTP_ROUTE`` give some requests a bucket of their own.  EnvoyFilters of
istio-system come first, then those of the proxy's namespace; ``workloadSelector`` picks pods,
``priority`` the order.  Without ``subFilter`` an INSERT_BEFORE is at the beginning of the chain.
What of it is executed: ``mesh.istio.local_rate_limit``; clusters: ``envoy_filter``.
Source: istio/istio ``pilot/pkg/networking/core/envoyfilter/{listener,rc}_patch.go``.
Shown by ``meshctl proxy-config listener POD -o json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

from betterproto2 import Message
from envoy_data_plane.envoy.config.route.v3 import Route, RouteConfiguration
from envoy_data_plane.envoy.extensions.filters.http.local_ratelimit.v3 import LocalRateLimit
from envoy_data_plane.google.protobuf import Any

from mesh.istio.local_rate_limit import BadLimitError, Insert, NoEffectError, Override, read
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import envoy_filter, messages, peer_metadata
from mesh.pilot.translate.view import MeshView

SIDECAR_INBOUND, GATEWAY = "SIDECAR_INBOUND", "GATEWAY"
Filters = list[tuple[str, Message]]


def insert(filters: Filters, view: MeshView, node: ProxyNode, context: str, port: int) -> Filters:
    """Return ``filters`` of the listener of ``port`` with what EnvoyFilters put in between.

    The kit's own filter for the peer's name stays first: it is no filter of Istio's chain.
    """
    own = 1 if filters and filters[0][0] == peer_metadata.FILTER else 0
    first, rest = filters[:own], filters[own:]
    for owner, each in _changes(view, node):
        if not isinstance(each, Insert) or each.context != context or not _is(each.port, port):
            continue
        new = (each.name, _limit(owner, each))
        places = [place for place, (name, _) in enumerate(rest) if name == each.beside]
        if each.operation == "INSERT_FIRST" or not each.beside:
            rest = [new, *rest]
        elif places:
            place = places[0] + (1 if each.operation == "INSERT_AFTER" else 0)
            rest = [*rest[:place], new, *rest[place:]]
    return [*first, *rest]


def merge(
    table: RouteConfiguration, view: MeshView, node: ProxyNode, context: str, port: int
) -> RouteConfiguration:
    """Give the virtual hosts and routes of ``table`` what EnvoyFilters say; changes ``table``."""
    for owner, each in _changes(view, node):
        if not isinstance(each, Override) or each.context != context or not _is(each.port, port):
            continue
        if each.table not in ("", table.name):
            continue
        config = messages.pack(_limit(owner, each))
        for host in table.virtual_hosts:
            if each.host not in ("", host.name):
                continue
            if not each.routes:
                host.typed_per_filter_config = {**host.typed_per_filter_config, each.name: config}
                continue
            host.routes = [
                _with(route, each.name, config)
                if each.route in ("", route.name) and each.action in ("", _action(route))
                else route
                for route in host.routes
            ]
    return table


def _is(wanted: int, port: int) -> bool:
    """True when a patch for a port is for this one; a gateway's 80 is also called 8080."""
    return wanted in (0, port) or (wanted, port) in ((8080, 80), (8443, 443))


def _with(route: Route, name: str, config: Any) -> Route:
    """Return a copy: virtual hosts share the routes of one VirtualService."""
    made = copy(route)
    made.typed_per_filter_config = {**route.typed_per_filter_config, name: config}
    return made


def _action(route: Route) -> str:
    if route.redirect is not None:
        return "REDIRECT"
    return "ROUTE" if route.direct_response is None else "DIRECT_RESPONSE"


def _changes(view: MeshView, node: ProxyNode) -> Iterator[tuple[str, Insert | Override]]:
    for _, namespace, name in envoy_filter.key(view, node):
        for patch in envoy_filter.spec_of(view, namespace, name).config_patches or []:
            try:
                changes = read(patch)
            except (NoEffectError, BadLimitError):
                continue  # the validation has said so
            for change in changes:
                yield f"EnvoyFilter {namespace}/{name}", change


def _limit(owner: str, change: Insert | Override) -> LocalRateLimit:
    try:
        return LocalRateLimit.from_dict(dict(change.config))
    except Exception as error:  # betterproto2 raises what it likes
        raise ValueError(f"{owner}: this is no LocalRateLimit: {error}") from None
