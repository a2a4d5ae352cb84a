"""Match: which requests an HTTP rule of a VirtualService is for.

Istio's field is ``spec.http[].match``: inside one block all conditions hold (AND), blocks are
alternatives (OR), rules are tried in order and the first that fits decides.  ``uri.prefix`` is
plain text (``/foo`` takes ``/foobar`` too), ``regex`` is RE2 on the whole path.
``sourceLabels``, ``sourceNamespace``, ``gateways`` and ``port`` are no conditions on a request: they
decide which sidecar gets the rule.  Shown by ``meshctl proxy-config route POD`` (MATCH).
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher, QueryParameterMatcher, RouteMatch

from mesh.istio.models.base import StringMatch
from mesh.istio.models.virtual_service import HTTPMatchRequest
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import messages
from mesh.pilot.translate.routing import MESH, qualify_gateway

_PSEUDO = {"uri", "scheme", "method", "authority"}


def concerns(
    match: HTTPMatchRequest, node: ProxyNode, namespace: str, gateway: str, port: int
) -> bool:
    """True when this block is for ``node`` on ``gateway`` (``mesh`` or namespace/name) and port."""
    if match.port and match.port != port:
        return False
    if match.gateways:
        return gateway in [qualify_gateway(each, namespace) for each in match.gateways]
    if gateway != MESH:
        return True
    if match.source_namespace and match.source_namespace != node.namespace:
        return False
    return (match.source_labels or {}).items() <= node.labels.items()


def route_match(match: HTTPMatchRequest | None) -> RouteMatch:
    """Return Envoy's form of one block; None matches everything."""
    if match is None:
        return RouteMatch(prefix="/")
    out = _path(match.uri)
    if match.ignore_uri_case and out.safe_regex is None:
        out.case_sensitive = False
    out.headers = _headers(match)
    out.query_parameters = [
        QueryParameterMatcher(name=name, string_match=matcher)
        if (matcher := messages.string_match(value))
        else QueryParameterMatcher(name=name, present_match=True)
        for name, value in (match.query_params or {}).items()
    ]
    return out


def is_catch_all(match: RouteMatch) -> bool:
    """True when nothing can reach a later rule."""
    everything = match.prefix == "/" or (
        match.safe_regex is not None and match.safe_regex.regex in (".*", "*")
    )
    return everything and not match.headers and not match.query_parameters


def _path(uri: StringMatch | None) -> RouteMatch:
    if uri is None:
        return RouteMatch(prefix="/")
    if uri.exact is not None:
        return RouteMatch(path=uri.exact)
    if uri.prefix is not None:
        return RouteMatch(prefix=uri.prefix)
    if uri.regex is not None:
        return RouteMatch(safe_regex=messages.regex(uri.regex))
    return RouteMatch(prefix="/")


def _headers(match: HTTPMatchRequest) -> list[HeaderMatcher]:
    out = [
        _header(name, value)
        for name, value in sorted((match.headers or {}).items())
        if name not in _PSEUDO
    ]
    for name, value in sorted((match.without_headers or {}).items()):
        if name not in _PSEUDO:
            inverted = _header(name, value)
            inverted.invert_match = True
            inverted.treat_missing_header_as_empty = inverted.string_match is not None
            out.append(inverted)
    for name, special in (
        (":method", match.method),
        (":authority", match.authority),
        (":scheme", match.scheme),
    ):
        if special is not None:
            out.append(_header(name, special))
    return out


def _header(name: str, value: StringMatch) -> HeaderMatcher:
    matcher = messages.string_match(value)
    if matcher is None:
        return HeaderMatcher(name=name.lower(), present_match=True)
    return HeaderMatcher(name=name.lower(), string_match=matcher)
