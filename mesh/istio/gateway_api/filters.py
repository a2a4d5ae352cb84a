r"""Filters: what an HTTPRoute does to a request on its way, as fields of a VirtualService.

RequestHeaderModifier and ResponseHeaderModifier are ``headers``, URLRewrite is ``rewrite``,
RequestRedirect is ``redirect`` (302 unless it says otherwise, Istio's is 301), RequestMirror is
``mirrors``, CORS is ``corsPolicy`` (preflights of other origins stop here).
``ReplacePrefixMatch`` replaces whole segments: with ``/`` for ``/customer`` the path
``/customer/x`` becomes ``/x``; the same rewrite of a VirtualService gives ``//x``.
Source: istio/istio ``pilot/pkg/config/kube/gateway/conversion.go``.
Shown by ``meshctl proxy-config route POD -o json``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from mesh.istio.models.base import StringMatch
from mesh.istio.models.gateway_api import (
    HTTPCORSFilter,
    HTTPHeader,
    HTTPHeaderFilter,
    HTTPPathModifier,
    HTTPRequestRedirectFilter,
    HTTPRouteFilter,
    HTTPURLRewriteFilter,
)
from mesh.istio.models.virtual_service import (
    CorsPolicy,
    HeaderOperations,
    Headers,
    HTTPRedirect,
    HTTPRewrite,
    RegexRewrite,
)

REMOVE = "/"
"""As the new prefix: take the matched prefix away (``mesh.pilot.translate.gateway_semantics``)."""
_ANY_ORIGIN = r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s?#]+$"


def header_operations(filters: Sequence[HTTPRouteFilter]) -> Headers | None:
    """Return the header operations of a rule or of one backend."""
    request = response = None
    for each in filters:
        if each.type == "RequestHeaderModifier" and each.request_header_modifier:
            request = _operations(each.request_header_modifier)
        elif each.type == "ResponseHeaderModifier" and each.response_header_modifier:
            response = _operations(each.response_header_modifier)
    return Headers(request=request, response=response) if request or response else None


def rule_fields(filters: Sequence[HTTPRouteFilter], prefix: str | None) -> dict[str, Any]:
    """Return the fields of a VirtualService's rule that the filters mean, but for mirrors.

    ``prefix`` is the matched prefix, None after another kind of match.
    """
    found: dict[str, Any] = {"headers": header_operations(filters)}
    for each in filters:
        if each.type == "RequestRedirect" and each.request_redirect:
            found["redirect"] = _redirect(each.request_redirect, prefix)
        elif each.type == "URLRewrite" and each.url_rewrite:
            found["rewrite"] = _rewrite(each.url_rewrite, prefix)
        elif each.type == "CORS" and each.cors:
            found["cors_policy"] = _cors(each.cors)
    return {name: value for name, value in found.items() if value is not None}


def new_prefix(path: HTTPPathModifier, prefix: str | None) -> str:
    """Return what takes the place of the matched prefix, ``REMOVE`` for nothing, empty: unchanged."""
    value = (path.replace_prefix_match or "").rstrip("/")
    if (prefix or "/") == "/":
        # The prefix "/" is the slash itself, which the rest of the path needs.
        return f"{value}/" if value else ""
    return value or REMOVE


def _rewrite(each: HTTPURLRewriteFilter, prefix: str | None) -> HTTPRewrite | None:
    uri, regex = "", None
    if each.path is not None and each.path.type == "ReplaceFullPath":
        whole = (each.path.replace_full_path or "/").replace("\\", "\\\\")
        regex = RegexRewrite(match="/.*", rewrite=whole)
    elif each.path is not None:
        uri = new_prefix(each.path, prefix)
    if not uri and regex is None and not each.hostname:
        return None
    return HTTPRewrite(uri=uri or None, uri_regex_rewrite=regex, authority=each.hostname)


def _redirect(each: HTTPRequestRedirectFilter, prefix: str | None) -> HTTPRedirect:
    uri = new = None
    if each.path is not None and each.path.type == "ReplaceFullPath":
        uri = each.path.replace_full_path or "/"
    elif each.path is not None:
        new = new_prefix(each.path, prefix) or None
    derived = None
    if each.port is None:
        derived = "FROM_PROTOCOL_DEFAULT" if each.scheme else "FROM_REQUEST_PORT"
    return HTTPRedirect.model_validate(
        {
            "uri": uri,
            "prefix_rewrite": new,
            "authority": each.hostname,
            "scheme": each.scheme,
            "port": each.port,
            "derive_port": derived,
            "redirect_code": each.status_code or 302,
        }
    )


def _operations(each: HTTPHeaderFilter) -> HeaderOperations:
    return HeaderOperations(
        set=_values(each.set or ()), add=_values(each.add or ()), remove=each.remove
    )


def _values(headers: Sequence[HTTPHeader]) -> dict[str, str] | None:
    """Return headers by name; of several with one name the first counts, as the API says."""
    found: dict[str, str] = {}
    for each in headers:
        found.setdefault(each.name.lower(), each.value)
    return found or None


def _cors(each: HTTPCORSFilter) -> CorsPolicy:
    return CorsPolicy(
        allow_origins=[_origin(origin) for origin in each.allow_origins or () if origin],
        allow_credentials=each.allow_credentials or None,
        allow_methods=each.allow_methods,
        allow_headers=each.allow_headers,
        expose_headers=each.expose_headers,
        max_age=timedelta(seconds=5 if each.max_age is None else each.max_age),
        unmatched_preflights="IGNORE",
    )


def _origin(origin: str) -> StringMatch:
    if origin == "*":
        return StringMatch(regex=_ANY_ORIGIN)
    if "*" not in origin:
        return StringMatch(exact=origin)
    pattern = ".*".join(re.sub(r"([^A-Za-z0-9_])", r"\\\1", part) for part in origin.split("*"))
    return StringMatch(regex=f"^{pattern}$")
