"""HTTPRoutes -> VirtualServices: one for each place and host, its rules in order of precedence.

Several HTTPRoutes may serve one host (that is how teams share a Gateway): their rules are merged
and sorted together, each with one match, as istiod does.  The place is a listener, or the mesh;
in the mesh the routes of one namespace for one Service belong together, and routes of another
namespace than the Service's are for the callers of that namespace only.
Shown by ``meshctl proxy-config route POD``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mesh.istio.gateway_api.backends import destinations, mirror
from mesh.istio.gateway_api.filters import rule_fields
from mesh.istio.gateway_api.listeners import by_parent, open_listeners
from mesh.istio.gateway_api.matches import converted_match, path_prefix, precedence
from mesh.istio.gateway_api.objects import Named, Object, Objects, sort_out
from mesh.istio.gateway_api.parents import MESH, attachments
from mesh.istio.models import gateway_api as api
from mesh.istio.models.gateway import Gateway
from mesh.istio.models.virtual_service import (
    HTTPDirectResponse,
    HTTPRetry,
    HTTPRoute,
    VirtualService,
)

RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled"
DEFAULT_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class ConvertedRoute:
    """A VirtualService made of HTTPRoutes; ``origins`` names the HTTPRoute of each of its rules."""

    name: str
    namespace: str
    spec: VirtualService
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Converted:
    """Istio's Gateways by ``namespace/name``, and VirtualServices."""

    gateways: dict[str, Gateway]
    routes: tuple[ConvertedRoute, ...]


def convert(resources: Iterable[Object]) -> Converted:
    """Convert what is there of the Gateway API; the order is the order in which it was applied."""
    objects = sort_out(resources)
    listeners = open_listeners(objects)
    parents = by_parent(listeners)
    merged: dict[tuple[str, str, str], list[tuple[HTTPRoute, str, str]]] = {}
    for route in objects.routes:
        for place in attachments(route, parents):
            # Everything at a listener's host belongs together, in the mesh what one namespace says.
            key = (place.gateway, place.host, route.namespace if place.gateway == MESH else "")
            origin = f"{route.namespace}/{route.name}"
            rules = merged.setdefault(key, [])
            for rule in rules_of(route, objects, in_mesh=place.gateway == MESH):
                rules.append((_at_port(rule, place.port), origin, route.namespace))
    routes = []
    for (gateway, host, _), found in merged.items():
        found.sort(key=lambda each: precedence(each[0]))
        spec = VirtualService(hosts=[host], gateways=[gateway], http=[each[0] for each in found])
        origins = tuple(each[1] for each in found)
        namespace, _, name = origins[0].partition("/")
        routes.append(ConvertedRoute(name, namespace, spec, origins))
    return Converted({each.key: each.gateway for each in listeners}, tuple(routes))


def rules_of(
    route: Named[api.HTTPRoute], objects: Objects, *, in_mesh: bool
) -> Iterator[HTTPRoute]:
    """Yield the rules of a route, one for each match."""
    grants = None if in_mesh else objects.grants
    # A route without rules matches everything and has no backend (the API server's default).
    for number, rule in enumerate(route.spec.rules or [api.HTTPRouteRule()]):
        name = rule.name or f"{route.namespace}.{route.name}.{number}"
        for match in rule.matches or [api.HTTPRouteMatch()]:
            fields = rule_fields(rule.filters or (), path_prefix(match))
            mirrors = [
                policy
                for each in rule.filters or ()
                if each.request_mirror is not None
                and (policy := mirror(each.request_mirror, route, grants)) is not None
            ]
            targets = destinations(rule, route, grants)
            if not targets and "redirect" not in fields:
                fields["direct_response"] = HTTPDirectResponse(status=500)
                fields.pop("rewrite", None)
            elif targets:
                fields |= {"route": targets, **_times(rule)}
            yield HTTPRoute(
                name=name, match=[converted_match(match)], mirrors=mirrors or None, **fields
            )


def _times(rule: api.HTTPRouteRule) -> dict[str, Any]:
    """Return time limit and retries; ``backendRequest`` bounds each try, or all without retries."""
    found: dict[str, Any] = {}
    limits = rule.timeouts or api.HTTPRouteTimeouts()
    if limits.request:
        found["timeout"] = limits.request
    if rule.retry is None:
        if limits.backend_request:
            found["timeout"] = limits.backend_request
        return found
    attempts = DEFAULT_ATTEMPTS if rule.retry.attempts is None else rule.retry.attempts
    words = [RETRY_ON, *map(str, rule.retry.codes or ())]
    found["retries"] = HTTPRetry(
        attempts=attempts,
        retry_on=",".join(words) if attempts else None,
        backoff=rule.retry.backoff,
        per_try_timeout=limits.backend_request or None,
    )
    return found


def _at_port(rule: HTTPRoute, port: int) -> HTTPRoute:
    """Return the rule for one port of a Service only (0: for all)."""
    if not port:
        return rule
    blocks = [each.model_copy(update={"port": port}) for each in rule.match or ()]
    return rule.model_copy(update={"match": blocks})
