"""IST0145, IST0140, IST0149: gateways that get in each other's way or are bypassed.

Two Gateways with the same pods, port and host: which one's VirtualServices count is not defined.
A VirtualService of the mesh does not meet what a gateway sends: the gateway has chosen the pod
already.  Routing by a JWT's claims needs a RequestAuthentication at the gateway, which reads them.
Source: istio/istio ``pkg/config/analysis/analyzers/gateway`` and ``virtualservice``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import MESH, Context
from mesh.istio.analyze.hosts import resolve
from mesh.istio.analyze.selectors import selector_text
from mesh.istio.models.gateway import Gateway
from mesh.istio.models.virtual_service import VirtualService
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource
from mesh.topology import ROOT_NAMESPACE

_CLAIM = "@request.auth.claims"
_MAX_OTHERS = 50


def _gateways(context: Context) -> Iterator[tuple[Resource, Gateway]]:
    for each in context.by_kind.get("Gateway", ()):
        if isinstance(each.spec, Gateway):
            yield each, each.spec


def _selector(gateway: Gateway) -> str:
    return selector_text(gateway.selector or {})


def gateway_conflicts(context: Context) -> Iterator[Problem]:
    """Find Gateways with the same pods, one port and a host in common.

    ``*.example`` and ``shop.example`` are two hosts: the exact one goes first.
    """
    opened: dict[tuple[int | None, str, str], list[tuple[Resource, Gateway]]] = {}
    for resource, spec in _gateways(context):
        for server in spec.servers or ():
            for host in dict.fromkeys(server.hosts):
                key = server.port.number, server.bind or "", host.lower()
                opened.setdefault(key, []).append((resource, spec))
    for resource, spec in _gateways(context):
        for index, server in enumerate(spec.servers or ()):
            rivals = {
                f"{other.namespace}/{other.name}"
                for host in server.hosts
                for other, theirs in opened[server.port.number, server.bind or "", host.lower()][
                    :_MAX_OTHERS
                ]
                if other is not resource and _same_pods(context, spec, theirs)
            }
            if rivals:
                yield resource.problem(
                    "IST0145",
                    Level.ERROR,
                    f"Conflict with gateways {','.join(sorted(rivals))} (workload selector "
                    f"{_selector(spec)}, port {server.port.number}, hosts "
                    f"{','.join(server.hosts)}).",
                    f"spec.servers[{index}].hosts",
                    hint="Put the servers into one Gateway, or give each host to one of them.",
                )


def _same_pods(context: Context, one: Gateway, other: Gateway) -> bool:
    """True for one selector, and for two that a pod fits both."""
    mine, theirs = one.selector or {}, other.selector or {}
    if mine == theirs:
        return True
    if any(theirs.get(key, value) != value for key, value in mine.items()):
        return False
    return bool(context.pods.anywhere(mine | theirs))


def subsets_behind_gateway(context: Context) -> Iterator[Problem]:
    """Find a gateway's routes to hosts whose split is written for the sidecars only."""
    split: dict[str, str] = {}
    for resource, spec in context.virtual_services():
        if MESH in (spec.gateways or [MESH]):
            for host in _split_hosts(resource, spec):
                split.setdefault(host, f"{resource.namespace}/{resource.name}")
    for resource, spec in context.virtual_services():
        if MESH in (spec.gateways or [MESH]):
            continue
        for index, route in enumerate(spec.http or ()):
            for number, each in enumerate(route.route or ()):
                other = split.get(resolve(each.destination.host, resource.namespace))
                if each.destination.subset or other is None:
                    continue
                own = f"{resource.namespace}/{resource.name}"
                yield resource.problem(
                    "IST0140",
                    Level.WARNING,
                    f"Subset in virtual service {other} has no effect on ingress gateway {own} "
                    "requests",
                    f"spec.http[{index}].route[{number}].destination",
                    hint="Name the subsets here, or add this gateway to the gateways of "
                    f"{other} and let it route the host.",
                )


def _split_hosts(resource: Resource, spec: VirtualService) -> set[str]:
    own = {resolve(host, resource.namespace) for host in spec.hosts or ()}
    routed = {
        resolve(each.destination.host, resource.namespace)
        for route in spec.http or ()
        for each in route.route or ()
        if each.destination.subset
    }
    return own & routed


def claim_routes(context: Context) -> Iterator[Problem]:
    """Find routes by the claims of a token that nothing at the gateway reads."""
    readers = [
        (each.namespace, getattr(getattr(each.spec, "selector", None), "match_labels", None) or {})
        for each in context.by_kind.get("RequestAuthentication", ())
    ]
    for resource, spec in context.virtual_services():
        found = _claim(spec)
        if found is None:
            continue
        path, key = found
        for name in spec.gateways or ():
            full = name if "/" in name else f"{resource.namespace}/{name}"
            gateway = context.gateways.get(full)
            if gateway is None:
                continue
            labels = (gateway.selector or {}).items()
            spaces = {ROOT_NAMESPACE, full.partition("/")[0]}
            if any(space in spaces and own.items() <= labels for space, own in readers):
                continue
            yield resource.problem(
                "IST0149",
                Level.ERROR,
                f"The virtual service uses the JWT claim based routing (key: {key}) but found no "
                f"request authentication for the gateway ({full}) pod ({_selector(gateway)}). The "
                "request authentication must first be applied for the gateway pods to validate "
                "the JWT token and make the claims available for routing.",
                path,
                hint="Add a RequestAuthentication whose selector picks the gateway's pods.",
            )


def _claim(spec: VirtualService) -> tuple[str, str] | None:
    for index, route in enumerate(spec.http or ()):
        for number, match in enumerate(route.match or ()):
            for name, headers in (
                ("headers", match.headers),
                ("withoutHeaders", match.without_headers),
            ):
                for key in headers or ():
                    if key.startswith(_CLAIM):
                        return f'spec.http[{index}].match[{number}].{name}["{key}"]', key
    return None
