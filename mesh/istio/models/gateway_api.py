"""Gateway API: Kubernetes' own Gateway and HTTPRoute, the successors of Istio's.

A Gateway here is a running gateway (not only ports), an HTTPRoute attaches itself to a Gateway or
to a Service (``parentRefs``), a ReferenceGrant lets routes of other namespaces in; the kit
translates them like their Istio equivalents (``mesh.istio.gateway_api``).
Fields: kubernetes-sigs/gateway-api ``apis/v1``.
Shown by ``meshctl proxy-config route POD``.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from mesh.istio.models.base import Int32, Model, StringMap, format_duration, parse_duration

DURATION = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
"""Narrower than Istio's: no fractions, no signs (kubernetes-sigs/gateway-api GEP-2257)."""


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not re.match(DURATION, value):
        raise ValueError("expected a duration such as 2s, 1s500ms or 1h30m (no fractions)")
    return parse_duration(value)


GatewayDuration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION, "examples": ["2s", "100ms"]}),
]
HTTPMethod = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]


class ParentReference(Model):
    """The Gateway (or Service) that a route attaches to."""

    group: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str
    section_name: str | None = None
    port: Int32 | None = None


class HTTPPathMatch(Model):
    """A path; PathPrefix ends at a slash."""

    type: Literal["Exact", "PathPrefix", "RegularExpression"] | None = None
    value: str | None = None


class NameValueMatch(Model):
    """A header or a query parameter."""

    type: Literal["Exact", "RegularExpression"] | None = None
    name: str
    value: str


class HTTPRouteMatch(Model):
    """Conditions that must all hold."""

    path: HTTPPathMatch | None = None
    headers: list[NameValueMatch] | None = None
    query_params: list[NameValueMatch] | None = None
    method: HTTPMethod | None = None


class HTTPHeader(Model):
    """Name and value of a header."""

    name: str
    value: str


class HTTPHeaderFilter(Model):
    """Change headers."""

    set: list[HTTPHeader] | None = None
    add: list[HTTPHeader] | None = None
    remove: list[str] | None = None


class BackendObjectReference(Model):
    """A Service and its port."""

    group: str | None = None
    kind: str | None = None
    name: str
    namespace: str | None = None
    port: Int32 | None = None


class Fraction(Model):
    """numerator / denominator (100 when missing)."""

    numerator: Int32
    denominator: Int32 | None = None


class HTTPRequestMirrorFilter(Model):
    """Send copies."""

    backend_ref: BackendObjectReference
    percent: Int32 | None = None
    fraction: Fraction | None = None


class HTTPPathModifier(Model):
    """Replace the path, or the prefix that matched."""

    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    replace_full_path: str | None = None
    replace_prefix_match: str | None = None


class HTTPRequestRedirectFilter(Model):
    """Answer with a redirect (302 unless said otherwise)."""

    scheme: Literal["http", "https"] | None = None
    hostname: str | None = None
    path: HTTPPathModifier | None = None
    port: Int32 | None = None
    status_code: Int32 | None = None


class HTTPURLRewriteFilter(Model):
    """Change host and path before the request leaves."""

    hostname: str | None = None
    path: HTTPPathModifier | None = None


class HTTPCORSFilter(Model):
    """Which other origins a browser may call from; preflights of others are not passed on."""

    allow_origins: list[str] | None = None
    allow_credentials: bool | None = None
    allow_methods: list[str] | None = None
    allow_headers: list[str] | None = None
    expose_headers: list[str] | None = None
    max_age: Int32 | None = None


class HTTPRouteFilter(Model):
    """One filter; ``type`` names the field that is set."""

    type: Literal[
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestMirror",
        "RequestRedirect",
        "URLRewrite",
        "ExtensionRef",
        "CORS",
    ]
    request_header_modifier: HTTPHeaderFilter | None = None
    response_header_modifier: HTTPHeaderFilter | None = None
    request_mirror: HTTPRequestMirrorFilter | None = None
    request_redirect: HTTPRequestRedirectFilter | None = None
    url_rewrite: HTTPURLRewriteFilter | None = None
    extension_ref: dict[str, Any] | None = None
    cors: HTTPCORSFilter | None = None


class HTTPBackendRef(BackendObjectReference):
    """One destination of a split; weight is 1 when missing."""

    weight: Int32 | None = None
    filters: list[HTTPRouteFilter] | None = None


class HTTPRouteTimeouts(Model):
    """For the whole request, and for each try."""

    request: GatewayDuration | None = None
    backend_request: GatewayDuration | None = None


class HTTPRouteRetry(Model):
    """Further tries."""

    codes: list[Int32] | None = None
    attempts: Int32 | None = None
    backoff: GatewayDuration | None = None


class HTTPRouteRule(Model):
    """One rule; the most specific match of all rules wins."""

    name: str | None = None
    matches: list[HTTPRouteMatch] | None = None
    filters: list[HTTPRouteFilter] | None = None
    backend_refs: list[HTTPBackendRef] | None = None
    timeouts: HTTPRouteTimeouts | None = None
    retry: HTTPRouteRetry | None = None
    session_persistence: dict[str, Any] | None = None


class HTTPRoute(Model):
    """``spec`` of an HTTPRoute."""

    parent_refs: list[ParentReference] | None = None
    hostnames: list[str] | None = None
    rules: list[HTTPRouteRule] | None = None
    use_default_gateways: str | None = None


class ListenerTLSConfig(Model):
    """How a listener encrypts."""

    mode: Literal["Terminate", "Passthrough"] | None = None
    certificate_refs: list[BackendObjectReference] | None = None
    frontend_validation: dict[str, Any] | None = None
    options: StringMap | None = None


class LabelRequirement(Model):
    """One condition on a label."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] | None = None


class NamespaceSelector(Model):
    """Namespaces by their labels; all conditions must hold."""

    match_labels: StringMap | None = None
    match_expressions: list[LabelRequirement] | None = None


class RouteNamespaces(Model):
    """Whose routes may attach."""

    from_: Literal["All", "Selector", "Same", "None"] | None = None
    selector: NamespaceSelector | None = None


class AllowedRoutes(Model):
    """Which routes may attach to a listener."""

    namespaces: RouteNamespaces | None = None
    kinds: list[dict[str, Any]] | None = None


class Listener(Model):
    """A port of the gateway."""

    name: str
    hostname: str | None = None
    port: Int32
    protocol: str
    tls: ListenerTLSConfig | None = None
    allowed_routes: AllowedRoutes | None = None


class ReferenceGrantFrom(Model):
    """Who may refer to something here: a kind in a namespace."""

    group: str
    kind: str
    namespace: str


class ReferenceGrantTo(Model):
    """What may be referred to: a kind, or one object of it."""

    group: str
    kind: str
    name: str | None = None


class ReferenceGrant(Model):
    """``spec`` of a ReferenceGrant: its namespace lets routes of others use its Services."""

    from_: list[ReferenceGrantFrom]
    to: list[ReferenceGrantTo]


class KubernetesGateway(Model):
    """``spec`` of the Gateway API's Gateway."""

    gateway_class_name: str
    listeners: list[Listener] | None = None
    addresses: list[dict[str, Any]] | None = None
    infrastructure: dict[str, Any] | None = None
    allowed_listeners: dict[str, Any] | None = None
    backend_tls: dict[str, Any] | None = Field(default=None, alias="backendTLS")
    tls: dict[str, Any] | None = None
    default_scope: str | None = None
