"""The HTTP filters that decide who may call: in front of a sidecar's application, and at gateways.

Istio's order: a server of one's own is asked first (action CUSTOM), then tokens are read
(RequestAuthentication) and policies asked (AUDIT, DENY, ALLOW); what they refuse meets no fault, no CORS and no route.  Until 1.5 ServiceRoles were asked
in their place.
Source: istio/istio ``pilot/pkg/networking/core/listener_builder.go``.
Shown by ``meshctl proxy-config listener POD -o json``.
"""

from __future__ import annotations

from betterproto2 import Message

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import (
    authorization_policy,
    external_authorization,
    mixer_check,
    request_authentication,
    service_role,
)
from mesh.pilot.translate.view import MeshView


def filters(view: MeshView, node: ProxyNode) -> list[tuple[str, Message]]:
    """Return (name, configuration) of each filter; ValueError for what cannot be enforced."""
    return [
        *external_authorization.filters(view, node),
        *request_authentication.filters(view, node),
        *authorization_policy.filters(view, node),
        *service_role.filters(view, node),
        *mixer_check.filters(view, node),
    ]
