"""The rules that HTTP, TCP and TLS routes share: destinations, weights, names of gateways.

Until Istio 1.14 the weights of a split had to add up to 100; since 1.15 any total above 0 will do,
and each destination gets weight / total.
Source: istio/istio ``pkg/config/validation/validation.go`` validateHTTPRouteDestinations.
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.istio.models.virtual_service import Destination, HTTPRouteDestination, RouteDestination
from mesh.istio.validate import names
from mesh.istio.validate.findings import WEIGHTS, Findings, Steps


def check_gateway_name(name: str, path: Steps, found: Findings) -> None:
    """Check ``gateway`` or ``namespace/gateway``; the dotted form is the old one."""
    namespace, slash, gateway = name.partition("/")
    if not slash:
        if "." in name:
            parts = name.split(".")
            text = (
                f'using legacy gatewayName format "{name}"; prefer the <namespace>/<name> format: '
                f'"{parts[1]}/{parts[0]}"'
            )
            found.warning(path, text)
        found.check(path, names.fqdn_error(name))
        return
    if not namespace or not gateway:
        found.error(path, "config namespace and gateway name cannot be empty")
    elif not names.is_label(namespace):
        found.error(path, f'invalid value for namespace: "{namespace}"')
    elif not names.is_label(gateway):
        found.error(path, f'invalid value for gateway name: "{gateway}"')


def check_destination(destination: Destination, path: Steps, found: Findings) -> None:
    """Check host, subset and port of a destination."""
    if destination.host == "*":
        found.error((*path, "host"), "invalid destination host *")
    else:
        found.check((*path, "host"), names.domain_error(destination.host))
    if destination.subset:
        found.check((*path, "subset"), names.subset_error(destination.subset))
    if destination.port is not None and not destination.port.name:
        found.port((*path, "port", "number"), destination.port.number)


def check_destinations(
    routes: Sequence[HTTPRouteDestination | RouteDestination], path: Steps, found: Findings
) -> None:
    """Check the destinations of a split and its weights; the rule about their sum is the era's."""
    total = 0
    for index, route in enumerate(routes):
        here: Steps = (*path, index)
        check_destination(route.destination, (*here, "destination"), found)
        weight = route.weight or 0
        total += weight
        if weight < 0:
            found.error((*here, "weight"), f"weight {weight} < 0", expected="0 or more")
    _check_total(routes, total, path, found)


def _check_total(
    routes: Sequence[HTTPRouteDestination | RouteDestination],
    total: int,
    path: Steps,
    found: Findings,
) -> None:
    many = len(routes) > 1
    if found.era.weights_must_total_100:
        if many and total != 100:
            hint = f"Make the weights add up to 100; {found.era} takes nothing else."
            found.error(path, f"total destination weight {total} != 100", hint, "100")
        return
    if many and total == 0:
        hint = "Give each destination a `weight:`, beside `destination:`, not inside it."
        found.error(path, "total destination weight = 0", hint, "more than 0")
    elif total > 0 and total != 100:
        stated = [route.weight or 0 for route in routes]
        shares = ", ".join(f"{weight}/{total}" for weight in stated)
        text = f"the weights add up to {total}, not 100: the shares are {shares}"
        if not many:
            text = f"one destination gets all requests, whatever its weight ({total}) says"
        found.info(WEIGHTS, path, text, "Istio before 1.15 refused weights that are not 100.")
