"""Redirect: the sidecar itself answers 3xx with a new location; nothing goes upstream.

In a VirtualService: ``redirect`` with ``uri``, ``uriPrefix``, ``authority``, ``scheme``,
``port``, ``redirectCode`` (default 301; 302, 303, 307, 308).  A port that is the scheme's own
(80, 443) is dropped when the scheme changes, the query is kept unless ``strip_query`` is set.
See it with ``curl -i`` through the mesh: the ``location`` header and an empty body.

Source: Envoy, ``source/common/router/config_impl.cc`` (``RouteEntryImplBase::newUri``),
RedirectAction in ``route_components.proto``.
"""

from __future__ import annotations

from dataclasses import dataclass

from envoy_data_plane.envoy.config.route.v3 import RedirectAction

from mesh.sidecar.filters.head import RequestHead, path_of, wire
from mesh.sidecar.filters.rewrite import Substitute, substitution

_CODES = {0: 301, 1: 302, 2: 303, 3: 307, 4: 308}


@dataclass(frozen=True, slots=True)
class Redirect:
    """A compiled RedirectAction; empty strings and port 0 leave the request's part as it is."""

    code: int
    https: bool = False
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    prefix: str = ""
    matched_prefix: str | None = None
    regex: Substitute | None = None
    strip_query: bool = False


@dataclass(frozen=True, slots=True)
class RedirectAnswer:
    """The answer: status and ``location`` header; the body is empty."""

    status: int
    location: str


def compile_redirect(action: RedirectAction, matched_prefix: str | None, where: str) -> Redirect:
    """Compile ``action``; ``matched_prefix`` is what the route matched, for a prefix rewrite."""
    code = int(action.response_code)
    if code not in _CODES:
        raise ValueError(f"{where}: unknown redirect response code {code}")
    return Redirect(
        code=_CODES[code],
        https=bool(action.https_redirect),
        scheme=action.scheme_redirect or "",
        host=wire(action.host_redirect),
        port=action.port_redirect,
        path=wire(action.path_redirect or ""),
        prefix=wire(action.prefix_rewrite or ""),
        matched_prefix=matched_prefix,
        regex=substitution(action.regex_rewrite, where) if action.regex_rewrite else None,
        strip_query=action.strip_query,
    )


def decide(redirect: Redirect, head: RequestHead) -> RedirectAnswer:
    """Compute the status and the location for ``head``."""
    scheme = redirect.scheme or ("https" if redirect.https else head.scheme)
    host = redirect.host or head.authority
    if redirect.port:
        # Only the request's own port is taken off; one that the rule writes stays before it.
        host = f"{redirect.host or _without_port(host)}:{redirect.port}"
    elif not redirect.host:
        # Port 80 of http (443 of https) means nothing under the other scheme.
        name, port = _without_port(host), _port(host)
        if (head.scheme, port, scheme) in (("http", "80", "https"), ("https", "443", "http")):
            host = name
    return RedirectAnswer(redirect.code, f"{scheme}://{host}{_path(redirect, head)}")


def _path(redirect: Redirect, head: RequestHead) -> str:
    bare = path_of(head.path)
    query = "" if redirect.strip_query else head.path[len(bare) :].partition("#")[0]
    made = bare
    if redirect.path:
        # A path_redirect with a query of its own keeps that one.
        made, query = redirect.path, "" if "?" in redirect.path else query
    elif redirect.regex is not None:
        made = redirect.regex(bare) or bare
    elif redirect.prefix:
        cut = len(bare) if redirect.matched_prefix is None else len(redirect.matched_prefix)
        made = redirect.prefix + bare[cut:]
    slash = "" if made.startswith("/") else "/"
    return f"{slash}{made}{query}"


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdigit() else host


def _port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return port if separator and name and port.isdigit() else ""
