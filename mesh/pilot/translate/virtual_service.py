"""VirtualService: the rules a caller's sidecar applies before it picks a pod.

Each ``spec.http[]`` rule becomes one Envoy route for each of its match blocks, in order; a rule
that matches everything ends the list.  Destinations with ``weight`` become a weighted cluster: an
independent draw for each request, in which weight 0 never wins.  A route's timeout is always
written, because Envoy's own default is 15 s and Istio's none.
Shown by ``meshctl proxy-config route POD``.
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteAction,
    WeightedCluster,
    WeightedClusterClusterWeight,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatchAndSubstitute

from mesh.istio.models.virtual_service import HTTPMatchRequest, HTTPRoute, HTTPRouteDestination
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import (
    cors,
    fault,
    gateway_semantics,
    headers,
    http_match,
    load_balancer,
    messages,
    mirror,
    names,
    redirect,
    retries,
    traffic_policy,
)
from mesh.pilot.translate.routing import Routing
from mesh.pilot.translate.view import MeshView

NO_TIMEOUT = timedelta(0)


def routes(
    view: MeshView, routing: Routing, node: ProxyNode, gateway: str, port: int
) -> list[Route]:
    """Return the routes of one VirtualService at ``node``, for ``gateway`` and listener ``port``."""
    found: list[Route] = []
    for number, http in enumerate(routing.spec.http or []):
        blocks: list[HTTPMatchRequest | None] = list(http.match or []) or [None]
        for block in blocks:
            if block is not None and not http_match.concerns(
                block, node, routing.namespace, gateway, port
            ):
                continue
            found.append(_route(view, routing, number, block, port))
            if routing.gateway_api:
                gateway_semantics.apply(found[-1])
            match = found[-1].match
            if match is not None and http_match.is_catch_all(match):
                return found
    return found


def default_route(view: MeshView, cluster: str) -> Route:
    """Return the route of a service without a VirtualService: all pods, no timeout."""
    action = RouteAction(cluster=cluster)
    _finish(view, action, cluster, None)
    return Route(name="default", match=http_match.route_match(None), route=action)


def _route(
    view: MeshView, routing: Routing, number: int, block: HTTPMatchRequest | None, port: int
) -> Route:
    http = (routing.spec.http or [])[number]
    name = http.name or ""
    if block is not None and block.name:
        name = f"{name}.{block.name}" if name else block.name
    route = Route(name=name, match=http_match.route_match(block))
    route.metadata = messages.origin(routing.config(number))
    operations = headers.operations(http)
    route.request_headers_to_add = operations.request_add
    route.request_headers_to_remove = operations.request_remove
    route.response_headers_to_add = operations.response_add
    route.response_headers_to_remove = operations.response_remove
    per_filter = {**fault.per_route(http.fault), **cors.per_route(http.cors_policy)}
    route.typed_per_filter_config = {name: messages.pack(each) for name, each in per_filter.items()}
    if http.redirect is not None:
        route.redirect = redirect.redirect_action(http.redirect, port)
    elif http.direct_response is not None:
        route.direct_response = redirect.direct_response(http.direct_response)
    else:
        route.route = _action(view, routing, http, port, operations.authority)
    return route


def _action(
    view: MeshView, routing: Routing, http: HTTPRoute, port: int, authority: str
) -> RouteAction:
    action = RouteAction()
    destinations = http.route or []
    weighted = [each for each in destinations if each.weight] or destinations[:1]
    if len(weighted) == 1 and not _has_operations(weighted[0]):
        cluster = view.cluster(weighted[0].destination, routing.namespace, port)
        action.cluster = cluster
    elif weighted:
        entries = [_weight(view, routing, each, port) for each in weighted]
        cluster = entries[0].name
        action.weighted_clusters = WeightedCluster(clusters=entries)
    else:
        cluster = "BlackHoleCluster"
        action.cluster = cluster
    _rewrite(action, http, authority)
    if http.timeout:
        action.timeout = http.timeout
    action.request_mirror_policies = mirror.mirror_policies(http, view, routing.namespace, port)
    _finish(view, action, cluster, http)
    return action


def _finish(view: MeshView, action: RouteAction, cluster: str, http: HTTPRoute | None) -> None:
    """Write what every route has: timeout, hash policy (from the DestinationRule), retries."""
    _, number, subset, hostname = names.parse(cluster)
    policy = traffic_policy.effective(view.rule(hostname), subset, number)
    action.hash_policy = load_balancer.hash_policy(policy.load_balancer)
    if action.timeout is None:
        action.timeout = NO_TIMEOUT
    action.retry_policy = retries.retry_policy(
        http.retries if http else None, view.era, hashing=bool(action.hash_policy)
    )


def _has_operations(each: HTTPRouteDestination) -> bool:
    found = headers.operations(each)
    return bool(
        found.request_add
        or found.request_remove
        or found.response_add
        or found.response_remove
        or found.authority
    )


def _weight(
    view: MeshView, routing: Routing, each: HTTPRouteDestination, port: int
) -> WeightedClusterClusterWeight:
    operations = headers.operations(each)
    entry = WeightedClusterClusterWeight(
        name=view.cluster(each.destination, routing.namespace, port),
        weight=each.weight or 1,
        request_headers_to_add=operations.request_add,
        request_headers_to_remove=operations.request_remove,
        response_headers_to_add=operations.response_add,
        response_headers_to_remove=operations.response_remove,
    )
    if operations.authority:
        entry.host_rewrite_literal = operations.authority
    return entry


def _rewrite(action: RouteAction, http: HTTPRoute, authority: str) -> None:
    """Rewrite: a prefix replaces the matched prefix, after exact and regex the whole path."""
    rewrite = http.rewrite
    if rewrite is not None and rewrite.uri_regex_rewrite is not None:
        action.regex_rewrite = RegexMatchAndSubstitute(
            pattern=messages.regex(rewrite.uri_regex_rewrite.match or ""),
            substitution=rewrite.uri_regex_rewrite.rewrite or "",
        )
    elif rewrite is not None and rewrite.uri:
        action.prefix_rewrite = rewrite.uri
    host = (rewrite.authority if rewrite is not None else None) or authority
    if host:
        action.host_rewrite_literal = host
