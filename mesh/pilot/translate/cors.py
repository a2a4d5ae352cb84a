"""CORS: which other web pages' scripts may call a service (the browser asks first).

Istio's field is ``spec.http[].corsPolicy``.  The sidecar answers the browser's preflight
(``OPTIONS`` with ``origin`` and ``access-control-request-method``) itself and adds the
``access-control-*`` headers; a preflight of another origin is forwarded unless
``unmatchedPreflights: IGNORE``.  Shown by ``meshctl proxy-config route POD -o json``.
"""

from __future__ import annotations

from betterproto2 import Message
from envoy_data_plane.envoy.extensions.filters.http.cors.v3 import CorsPolicy as EnvoyCorsPolicy
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from mesh.istio.models.virtual_service import CorsPolicy
from mesh.pilot.translate import messages

FILTER = "envoy.filters.http.cors"


def per_route(policy: CorsPolicy | None) -> dict[str, Message]:
    """Return the CORS filter's configuration for one route."""
    if policy is None:
        return {}
    origins = [
        matcher for each in policy.allow_origins or [] if (matcher := messages.string_match(each))
    ]
    for origin in policy.allow_origin or []:
        any_origin = StringMatcher(safe_regex=messages.regex(".*"))
        origins.append(any_origin if origin == "*" else StringMatcher(exact=origin))
    out = EnvoyCorsPolicy(
        allow_origin_string_match=origins,
        allow_methods=",".join(policy.allow_methods or []),
        allow_headers=",".join(policy.allow_headers or []),
        expose_headers=",".join(policy.expose_headers or []),
        allow_credentials=policy.allow_credentials,
        filter_enabled=messages.runtime_fraction(100),
        forward_not_matching_preflights=policy.unmatched_preflights != "IGNORE",
    )
    if policy.max_age is not None:
        out.max_age = str(int(policy.max_age.total_seconds()))
    return {FILTER: out}
