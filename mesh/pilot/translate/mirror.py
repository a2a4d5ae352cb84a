"""Mirror: send a copy of the requests to another version and throw its answers away (dark launch).

Istio's fields are ``spec.http[].mirror`` with ``mirrorPercentage``, or ``mirrors[]``.  The copy
leaves when the request itself is sent on, its host gets the suffix ``-shadow``, it is never
retried, and what it does at the other version really happens.
Shown by ``meshctl proxy-config route POD -o json`` (``requestMirrorPolicies``).
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.route.v3 import RouteActionRequestMirrorPolicy

from mesh.istio.models.virtual_service import Destination, HTTPRoute
from mesh.pilot.translate import messages
from mesh.pilot.translate.view import MeshView


def mirror_policies(
    http: HTTPRoute, view: MeshView, namespace: str, port: int
) -> list[RouteActionRequestMirrorPolicy]:
    """Return the mirrors of a rule; one with 0 percent is none."""
    wanted: list[tuple[Destination, float]] = []
    if http.mirror is not None:
        percent = 100.0
        if http.mirror_percentage is not None:
            percent = http.mirror_percentage.value or 0.0
        elif http.mirror_percent is not None:
            percent = float(http.mirror_percent)
        wanted.append((http.mirror, percent))
    for each in http.mirrors or []:
        share = 100.0 if each.percentage is None else each.percentage.value or 0.0
        wanted.append((each.destination, share))
    return [
        RouteActionRequestMirrorPolicy(
            cluster=view.cluster(destination, namespace, port),
            runtime_fraction=messages.runtime_fraction(percent),
            trace_sampled=False,
        )
        for destination, percent in wanted
        if percent > 0
    ]
