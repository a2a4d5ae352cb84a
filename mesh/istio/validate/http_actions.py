"""The rules of what an HTTP rule does: which actions exclude each other, redirect, rewrite.

Source: istio/istio ``pkg/config/validation/virtualservice.go`` and ``validation.go``.
"""

from __future__ import annotations

from mesh.istio.models.virtual_service import HTTPDirectResponse, HTTPRedirect, HTTPRoute
from mesh.istio.validate.findings import Findings, Steps

_MEGABYTE = 1024 * 1024


def check_conflicts(route: HTTPRoute, path: Steps, delegate: bool, found: Findings) -> None:
    """Check that a rule does one thing: route, redirect, direct response or delegate."""
    if route.delegate is not None and not delegate:
        name = route.name or ""
        for field, value in (("redirect", route.redirect), ("route", route.route)):
            if value is not None:
                found.error((*path, field), f"root HTTP route {name} must not specify {field}")
        return
    if route.delegate is not None:
        found.error((*path, "delegate"), "delegate HTTP route cannot contain delegate")
    if route.mirror is not None and route.mirrors:
        found.error((*path, "mirrors"), "HTTP route cannot contain both mirror and mirrors")
    if route.redirect is not None:
        if route.direct_response is not None:
            text = "HTTP route cannot contain both redirect and direct_response"
            found.error((*path, "directResponse"), text)
        _exclude(route, path, "redirect", found)
    elif route.direct_response is not None:
        _exclude(route, path, "direct_response", found)
    elif not route.route:
        old = found.era.release < (1, 15)
        text = "HTTP route or redirect is required"
        if not old:
            text = "HTTP route, redirect or direct_response is required"
        found.error(path, text, "Add `route:` with a `destination:`.")


def _exclude(route: HTTPRoute, path: Steps, action: str, found: Findings) -> None:
    hint = "Keep one of the two."
    if route.route:
        found.error(path, f"HTTP route cannot contain both route and {action}", hint)
    if route.fault is not None:
        text = f"HTTP route cannot contain both fault and {action}"
        found.error((*path, "fault"), text, hint)
    if route.rewrite is not None:
        text = f"HTTP route rule cannot contain both rewrite and {action}"
        found.error((*path, "rewrite"), text, hint)


def check_answers(route: HTTPRoute, path: Steps, found: Findings) -> None:
    """Check redirect and direct response."""
    if route.redirect is not None:
        here = (*path, "redirect")
        _check_redirect(route.redirect, here, found)
        uris = [each.uri for each in route.match or () if each.uri is not None]
        if route.redirect.prefix_rewrite and any(uri.prefix is None for uri in uris):
            text = "redirect prefix_rewrite requires all URI matches to use prefix match type"
            found.error((*here, "prefixRewrite"), text)
    if route.direct_response is not None:
        _check_direct_response(route.direct_response, (*path, "directResponse"), found)


def _check_redirect(redirect: HTTPRedirect, path: Steps, found: Findings) -> None:
    has_port = redirect.port is not None or redirect.derive_port is not None
    paths = redirect.uri or redirect.prefix_rewrite
    if redirect.uri and redirect.prefix_rewrite:
        text = "redirect may only specify one of uri or prefix_rewrite"
        found.error((*path, "prefixRewrite"), text, "Keep one of the two.")
    if not (paths or redirect.authority or redirect.scheme or has_port):
        text = "redirect must specify URI, authority, scheme, or port"
        found.error(path, text, expected="uri, authority, scheme, port")
        return
    code = redirect.redirect_code or 0
    if code and not 300 <= code <= 399:
        text = f"{code} is not a valid redirect code, must be 3xx"
        found.error((*path, "redirectCode"), text, expected="301, 302, 303, 307, 308")
    if redirect.scheme and redirect.scheme not in ("http", "https"):
        text = 'invalid redirect scheme, must be "http" or "https"'
        found.error((*path, "scheme"), text, expected="http, https")
    if redirect.port:
        found.port((*path, "port"), redirect.port)


def _check_direct_response(answer: HTTPDirectResponse, path: Steps, found: Findings) -> None:
    if not 200 <= answer.status <= 600:
        text = f"HTTP status {answer.status} is not in range 200-599"
        found.error((*path, "status"), text, expected="200-599")
    body = answer.body
    size = len(((body.string or body.bytes or "") if body else "").encode())
    text = "large direct_responses may impact control plane performance"
    if size > _MEGABYTE:
        found.error((*path, "body"), f"{text}, must be less than 1MB")
    elif size > 100 * 1024:
        found.warning((*path, "body"), text)


def check_rewrite(route: HTTPRoute, path: Steps, found: Findings) -> None:
    """Check the rewrite, and that the authority is set in one place only."""
    rewrite, here = route.rewrite, (*path, "rewrite")
    if rewrite is not None:
        regex = rewrite.uri_regex_rewrite
        if rewrite.uri and regex is not None:
            found.error(here, "rewrite may only contain one of URI or UriRegexRewrite")
        elif not rewrite.uri and regex is None and not rewrite.authority:
            text = (
                "rewrite must specify at least one of URI, UriRegexRewrite, or authority. "
                "Only one of URI or UriRegexRewrite may be specified"
            )
            found.error(here, text, expected="uri, uriRegexRewrite, authority")
        if regex is not None:
            if not regex.match or not regex.rewrite:
                text = "UriRegexRewrite requires both Rewrite and Match fields to be specified"
                found.error((*here, "uriRegexRewrite"), text)
            else:
                where = "HTTPRewrite.UriRegexRewrite.Match"
                found.regex((*here, "uriRegexRewrite", "match"), regex.match, where)
    current = (rewrite.authority or "") if rewrite else ""
    request = route.headers.request if route.headers else None
    if request is None:
        return
    for verb, values in (("set", request.set), ("add", request.add)):
        for name, value in (values or {}).items():
            if name.lower() not in (":authority", "host"):
                continue
            if current:
                text = (
                    f'authority header cannot be set multiple times: have "{current}", '
                    f'attempting to set "{value}"'
                )
                found.error((*path, "headers", "request", verb, name), text)
            current = value
