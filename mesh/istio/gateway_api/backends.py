"""backendRefs: the destinations of an HTTPRoute, their shares, and what is no destination.

A backend is a Service and its port; there are no subsets, a version that gets traffic of its own
is a Service of its own.  ``weight`` is 1 when missing, 0 takes nothing; a rule whose weights sum
to 0 (or that has no backend) answers 500.  The share of a backend that is no Service, or of
another namespace without a ReferenceGrant there, goes to a cluster that does not exist: 500 as
well, and so does that of a Service that nobody runs.
Source: istio/istio ``pilot/pkg/config/kube/gateway/conversion.go`` buildDestination.
Shown by ``meshctl proxy-config route POD -o json``.
"""

from __future__ import annotations

from mesh.istio.gateway_api.filters import header_operations
from mesh.istio.gateway_api.objects import GROUP, Named, hostname
from mesh.istio.models.base import PortSelector
from mesh.istio.models.gateway_api import (
    BackendObjectReference,
    HTTPRequestMirrorFilter,
    HTTPRoute,
    HTTPRouteRule,
    ReferenceGrant,
)
from mesh.istio.models.virtual_service import (
    Destination,
    HTTPMirrorPolicy,
    HTTPRouteDestination,
    Percent,
)

NOWHERE = Destination(host="")
"""The destination of what may not be reached: it becomes the cluster ``UnknownService``."""


def destinations(
    rule: HTTPRouteRule, route: Named[HTTPRoute], grants: tuple[Named[ReferenceGrant], ...] | None
) -> list[HTTPRouteDestination]:
    """Return the destinations that get a share; ``grants`` None: no grant is needed (mesh)."""
    chosen = [each for each in rule.backend_refs or () if each.weight is None or each.weight > 0]
    return [
        HTTPRouteDestination(
            destination=destination(each, route, grants),
            weight=(1 if each.weight is None else each.weight) if len(chosen) > 1 else None,
            headers=header_operations(each.filters or ()),
        )
        for each in chosen
    ]


def mirror(
    each: HTTPRequestMirrorFilter,
    route: Named[HTTPRoute],
    grants: tuple[Named[ReferenceGrant], ...] | None,
) -> HTTPMirrorPolicy | None:
    """Return where copies go and how many; None when they may not go there."""
    target = destination(each.backend_ref, route, grants)
    if target is NOWHERE:
        return None
    percentage = None
    if each.fraction is not None:
        share = 100 * each.fraction.numerator / (each.fraction.denominator or 100)
        percentage = Percent(value=share)
    elif each.percent is not None:
        percentage = Percent(value=float(each.percent))
    return HTTPMirrorPolicy(destination=target, percentage=percentage)


def destination(
    ref: BackendObjectReference,
    route: Named[HTTPRoute],
    grants: tuple[Named[ReferenceGrant], ...] | None,
) -> Destination:
    """Return the Service that a reference means, or ``NOWHERE``."""
    namespace = ref.namespace or route.namespace
    if not is_service(ref) or ref.port is None:
        return NOWHERE
    if grants is not None and namespace != route.namespace and not granted(ref, route, grants):
        return NOWHERE
    return Destination(host=hostname(ref.name, namespace), port=PortSelector(number=ref.port))


def is_service(ref: BackendObjectReference) -> bool:
    """True for a Service, which is what a backend is unless it says otherwise."""
    return (ref.kind or "Service") == "Service" and not ref.group


def granted(
    ref: BackendObjectReference,
    route: Named[HTTPRoute],
    grants: tuple[Named[ReferenceGrant], ...],
) -> bool:
    """True when a ReferenceGrant in the backend's namespace lets this route in."""
    return any(
        each.namespace == ref.namespace
        and any(
            (one.group, one.kind, one.namespace) == (GROUP, "HTTPRoute", route.namespace)
            for one in each.spec.from_
        )
        and any(
            (one.group, one.kind) == ("", "Service") and one.name in (None, "", ref.name)
            for one in each.spec.to
        )
        for each in grants
    )
