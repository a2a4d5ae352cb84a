r"""Gateway semantics: what an HTTPRoute of the Gateway API means and a VirtualService cannot say.

A prefix ends at a slash (``/foo`` is not ``/foobar``): Envoy's ``path_separated_prefix``.  Taking
a prefix away leaves one slash (``/customer/x`` -> ``/x``): a regular expression does it.  A
backend that is not there is answered 500, not 503: ``cluster_not_found_response_code``.
Source: istio/istio ``pilot/pkg/networking/core/route/route.go`` (UseGatewaySemantics).
Shown by ``meshctl proxy-config route POD -o json``.
"""

from __future__ import annotations

import re

from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteActionClusterNotFoundResponseCode,
    RouteMatch,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatchAndSubstitute

from mesh.istio.gateway_api.filters import REMOVE
from mesh.pilot.translate import messages


def apply(route: Route) -> None:
    """Give a route that was translated as a VirtualService's the meaning of an HTTPRoute's."""
    prefix = _separate(route.match)
    if route.route is not None:
        route.route.cluster_not_found_response_code = (
            RouteActionClusterNotFoundResponseCode.INTERNAL_SERVER_ERROR
        )
        if route.route.prefix_rewrite == REMOVE and prefix:
            route.route.prefix_rewrite = ""
            route.route.regex_rewrite = _removal(prefix)
    if route.redirect is not None and route.redirect.prefix_rewrite == REMOVE and prefix:
        route.redirect.prefix_rewrite = None
        route.redirect.regex_rewrite = _removal(prefix)


def _separate(match: RouteMatch | None) -> str:
    """Make the prefix one that ends at a slash, and return it; empty for ``/`` and other matches."""
    if match is None or match.prefix is None or match.prefix == "/":
        return ""
    match.path_separated_prefix, match.prefix = match.prefix, None
    return match.path_separated_prefix


def _removal(prefix: str) -> RegexMatchAndSubstitute:
    quoted = re.sub(r"([^A-Za-z0-9_/~-])", r"\\\1", prefix)
    return RegexMatchAndSubstitute(pattern=messages.regex(f"^{quoted}/?(.*)"), substitution=r"/\1")
