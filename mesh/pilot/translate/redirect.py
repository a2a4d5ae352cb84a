"""Redirect and direct response: the sidecar answers by itself, no service is asked.

Istio's fields are ``spec.http[].redirect`` (301 unless ``redirectCode`` says otherwise; ``uri``
replaces the whole path) and ``spec.http[].directResponse`` (status and body).
Shown by ``meshctl proxy-config route POD -o json``.
"""

from __future__ import annotations

import base64

from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    RedirectAction,
    RedirectActionRedirectResponseCode,
)

from mesh.istio.models.virtual_service import HTTPDirectResponse, HTTPRedirect

_CODES = {
    301: RedirectActionRedirectResponseCode.MOVED_PERMANENTLY,
    302: RedirectActionRedirectResponseCode.FOUND,
    303: RedirectActionRedirectResponseCode.SEE_OTHER,
    307: RedirectActionRedirectResponseCode.TEMPORARY_REDIRECT,
    308: RedirectActionRedirectResponseCode.PERMANENT_REDIRECT,
}


def redirect_action(redirect: HTTPRedirect, listener_port: int) -> RedirectAction:
    """Return the redirect; ValueError for a code that Envoy cannot answer."""
    code = redirect.redirect_code or 301
    if code not in _CODES:
        raise ValueError(f"{code} is not a redirect code: use {', '.join(map(str, _CODES))}")
    out = RedirectAction(host_redirect=redirect.authority or "", response_code=_CODES[code])
    if redirect.prefix_rewrite is not None:
        out.prefix_rewrite = redirect.prefix_rewrite
    elif redirect.uri is not None:
        out.path_redirect = redirect.uri
    if redirect.scheme:
        out.scheme_redirect = redirect.scheme
    if redirect.port:
        out.port_redirect = redirect.port
    elif redirect.derive_port == "FROM_REQUEST_PORT":
        out.port_redirect = listener_port
    if (out.port_redirect, out.scheme_redirect or "http") in ((80, "http"), (443, "https")):
        out.port_redirect = 0  # a scheme's own port is not written
    return out


def direct_response(response: HTTPDirectResponse) -> DirectResponseAction:
    """Return the direct response."""
    out = DirectResponseAction(status=response.status)
    if response.body is not None and response.body.bytes is not None:
        out.body = DataSource(inline_bytes=base64.b64decode(response.body.bytes))
    elif response.body is not None and response.body.string is not None:
        out.body = DataSource(inline_string=response.body.string)
    return out
