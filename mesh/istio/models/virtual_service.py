"""VirtualService: what a client sidecar does with a request before it picks a host.

It matches (uri, headers, ...), splits by weight, rewrites, redirects, delays, aborts, mirrors,
sets time limits and retries: canary, dark launch and chaos tests of the lecture are all this one
resource.  It works on the *outbound* side: in the sidecar of the caller, not of the service.
Fields: istio/api ``networking/v1alpha3/virtual_service.proto``.
Shown by ``meshctl proxy-config route POD``; checked by ``meshctl analyze``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mesh.istio.models.base import (
    Duration,
    Int32,
    Model,
    PortSelector,
    StringMap,
    StringMatch,
    UInt32,
    known_until,
)


class Destination(Model):
    """A service, one subset of it (defined by a DestinationRule), and its port."""

    host: str
    subset: str | None = None
    port: PortSelector | None = None


class HeaderOperations(Model):
    """What to do to the headers: overwrite, append, take away."""

    set: StringMap | None = None
    add: StringMap | None = None
    remove: list[str] | None = None


class Headers(Model):
    """``headers.request`` on the way there, ``headers.response`` on the way back."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class HTTPRouteDestination(Model):
    """One destination of a split; its share is weight / sum of weights."""

    destination: Destination
    weight: Int32 | None = None
    headers: Headers | None = None
    append_request_headers: StringMap | None = known_until((1, 3))
    append_response_headers: StringMap | None = known_until((1, 3))
    remove_request_headers: list[str] | None = known_until((1, 3))
    remove_response_headers: list[str] | None = known_until((1, 3))


class HTTPMatchRequest(Model):
    """One block of conditions, all of which must hold; several blocks are alternatives."""

    name: str | None = None
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[str, StringMatch] | None = None
    without_headers: dict[str, StringMatch] | None = None
    query_params: dict[str, StringMatch] | None = None
    ignore_uri_case: bool | None = None
    port: UInt32 | None = None
    source_labels: StringMap | None = None
    source_namespace: str | None = None
    gateways: list[str] | None = None
    stat_prefix: str | None = None


class HTTPRedirect(Model):
    """Answer with a redirect (301 unless said otherwise)."""

    uri: str | None = None
    authority: str | None = None
    scheme: str | None = None
    port: UInt32 | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    prefix_rewrite: str | None = None
    redirect_code: UInt32 | None = None


class HTTPBody(Model):
    """The body of a direct response."""

    string: str | None = None
    bytes: str | None = None


class HTTPDirectResponse(Model):
    """Answer at once, without any service."""

    status: UInt32
    body: HTTPBody | None = None


class RegexRewrite(Model):
    r"""RE2 ``match`` and the ``rewrite`` that replaces it (``\\1`` is the first group)."""

    match: str | None = None
    rewrite: str | None = None


class HTTPRewrite(Model):
    """Change the path or the host before the request leaves."""

    uri: str | None = None
    authority: str | None = None
    uri_regex_rewrite: RegexRewrite | None = None


class HTTPRetry(Model):
    """``attempts`` further tries, each at most ``perTryTimeout``, when ``retryOn`` holds."""

    attempts: Int32 | None = None
    per_try_timeout: Duration | None = None
    retry_on: str | None = None
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff: Duration | None = None


class Percent(Model):
    """A percentage, 0.0 to 100.0, in steps of 0.0001."""

    value: float | None = None


class Delay(Model):
    """Wait before the request is sent on, for a share of the requests."""

    fixed_delay: Duration | None = None
    exponential_delay: Duration | None = None
    percentage: Percent | None = None
    percent: Int32 | None = None


GRPC_STATUS = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]
"""The names of gRPC's status codes; a code is the place in this list."""


class Abort(Model):
    """Answer with an error, for a share of the requests."""

    http_status: Int32 | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None
    percent: Int32 | None = known_until((1, 9))


class HTTPFaultInjection(Model):
    """Chaos tests: a delay, an abort, or both."""

    delay: Delay | None = None
    abort: Abort | None = None


class HTTPMirrorPolicy(Model):
    """Where the copies go and how many."""

    destination: Destination
    percentage: Percent | None = None


class CorsPolicy(Model):
    """Which other origins a browser may call from."""

    allow_origin: list[str] | None = None
    allow_origins: list[StringMatch] | None = None
    allow_methods: list[str] | None = None
    allow_headers: list[str] | None = None
    expose_headers: list[str] | None = None
    max_age: Duration | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] | None = None


class Delegate(Model):
    """Another VirtualService that holds the routes of this path."""

    name: str | None = None
    namespace: str | None = None


class HTTPRoute(Model):
    """One rule; the first whose ``match`` holds decides."""

    name: str | None = None
    match: list[HTTPMatchRequest] | None = None
    route: list[HTTPRouteDestination] | None = None
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Duration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: list[HTTPMirrorPolicy] | None = None
    mirror_percent: UInt32 | None = None
    mirror_percentage: Percent | None = None
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None
    websocket_upgrade: bool | None = known_until((1, 3))
    append_headers: StringMap | None = known_until((1, 0))
    append_request_headers: StringMap | None = known_until((1, 3))
    append_response_headers: StringMap | None = known_until((1, 3))
    remove_request_headers: list[str] | None = known_until((1, 3))
    remove_response_headers: list[str] | None = known_until((1, 3))


class RouteDestination(Model):
    """One destination of a TCP or TLS split."""

    destination: Destination
    weight: Int32 | None = None


class L4MatchAttributes(Model):
    """Conditions on a TCP connection."""

    destination_subnets: list[str] | None = None
    port: UInt32 | None = None
    source_subnet: str | None = None
    source_labels: StringMap | None = None
    gateways: list[str] | None = None
    source_namespace: str | None = None


class TLSMatchAttributes(Model):
    """Conditions on a TLS connection that is passed through: its SNI above all."""

    sni_hosts: list[str]
    destination_subnets: list[str] | None = None
    port: UInt32 | None = None
    source_labels: StringMap | None = None
    gateways: list[str] | None = None
    source_namespace: str | None = None


class TCPRoute(Model):
    """One rule for TCP."""

    match: list[L4MatchAttributes] | None = None
    route: list[RouteDestination] | None = None


class TLSRoute(Model):
    """One rule for TLS that is not terminated."""

    match: list[TLSMatchAttributes]
    route: list[RouteDestination] | None = None


class VirtualService(Model):
    """``spec`` of a VirtualService."""

    hosts: list[str] | None = None
    gateways: list[str] | None = None
    http: list[HTTPRoute] | None = None
    tls: list[TLSRoute] | None = None
    tcp: list[TCPRoute] | None = None
    export_to: list[str] | None = Field(default=None)
