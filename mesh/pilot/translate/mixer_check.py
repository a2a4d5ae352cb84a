"""Mixer's check: the sidecar in front of an application, and a gateway, ask Mixer first.

Until Istio 1.7 sidecars asked Mixer by a protocol of its own; today's word for the same is Envoy's
filter ``ext_authz``: HTTP to the check server, whose answer is the request's when it is not 200.
Denier, listchecker and memquota (``kind: rule``, group config.istio.io) are behind it.  At a gateway
the rules of its own namespace and of istio-system hold, and quotas are not charged.  When Mixer
does not answer, the request is refused with 503 (``status_on_error``; without it Envoy says 403).
Source: Envoy, "External Authorization"; Istio 1.0 ``pilot/pkg/networking/plugin/mixer/mixer.go``
(disableClientPolicyChecks), ``mixer/pkg/runtime/dispatcher/util.go``.  Shown by ``meshctl logs POD`` (flag UAEX).
"""

from __future__ import annotations

from datetime import timedelta

from betterproto2 import Message
from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HttpUri,
)
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import (
    AuthorizationRequest,
    ExtAuthz,
    HttpService,
)
from envoy_data_plane.envoy.type.matcher.v3 import ListStringMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import messages, tracing
from mesh.pilot.translate.view import MeshView

FILTER = "envoy.filters.http.ext_authz"
KINDS = ("denier", "listchecker", "memquota", "handler")
REPORTS = ("prometheus", "stdio", "fluentd", "statsd", "stackdriver", "circonus")
"""Adapters that only take reports: nobody has to be asked for them."""
PRINCIPAL_HEADER, CLUSTER_HEADER = "x-mixer-principal", "x-mixer-cluster"
SECONDS = 5.0


def filters(view: MeshView, node: ProxyNode) -> list[tuple[str, Message]]:
    """Return the filter of a sidecar's way in or of a gateway, where rules and handlers are applied."""
    wanted = view.of_kind("rule") and any(
        getattr(each.spec, "compiled_adapter", None) not in REPORTS
        for kind in KINDS
        for each in view.of_kind(kind)
    )
    router = node.type == "router"
    if not wanted or not view.mixer.socket or not (node.inbound_ports or router):
        return []
    everything = ListStringMatcher(patterns=[StringMatcher(safe_regex=messages.regex(".*"))])
    told = [HeaderValue(key=PRINCIPAL_HEADER, value="%DOWNSTREAM_PEER_URI_SAN%")]
    if router:
        told.append(HeaderValue(key=CLUSTER_HEADER, value="%UPSTREAM_CLUSTER_RAW%"))
    service = HttpService(
        server_uri=HttpUri(
            uri=f"http://{tracing.MIXER}",
            cluster=tracing.MIXER,
            timeout=timedelta(seconds=SECONDS),
        ),
        path_prefix=f"/check/{node.pod}",
        authorization_request=AuthorizationRequest(headers_to_add=told),
    )
    config = ExtAuthz(
        http_service=service,
        allowed_headers=everything,
        disallowed_headers=ListStringMatcher(
            patterns=[StringMatcher(exact=each) for each in (PRINCIPAL_HEADER, CLUSTER_HEADER)]
        ),
        status_on_error=HttpStatus(code=StatusCode.ServiceUnavailable),
    )
    return [(FILTER, config)]
