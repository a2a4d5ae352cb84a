"""External authorization: another server is asked before a request goes on.

In a real mesh AuthorizationPolicy with ``action: CUSTOM`` sets it; here the check of Mixer stands
behind it (denier, listchecker, memquota).  The server gets the request's head under
``path_prefix``; an answer of 200 lets the request through, any other below 500 is sent to the client
with its status and body.  When the server fails (no answer, or 5xx) the request is refused
with ``status_on_error`` (403 where it is not set), or let through with ``failure_mode_allow``.
See it with ``meshctl logs POD``: flag UAEX, details ``ext_authz_denied`` or ``ext_authz_error``.

Source: Envoy ``source/extensions/filters/http/ext_authz/ext_authz.cc`` and
``source/extensions/filters/common/ext_authz/ext_authz_http_impl.cc``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import ExtAuthz
from envoy_data_plane.envoy.type.matcher.v3 import ListStringMatcher
from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters import FilterContext
from mesh.sidecar.filters.match import find_route
from mesh.sidecar.filters.matchers import string_test
from mesh.sidecar.local_reply import local_reply
from mesh.sidecar.mitm.flow import Fields
from mesh.sidecar.stream_info import StreamInfo, stream_info
from mesh.sidecar.upstream.attempt import attempt
from mesh.sidecar.upstream.balancers import Context
from mesh.sidecar.upstream.message import UpstreamRequest
from mesh.sidecar.upstream.resets import UpstreamResetError

FLAG = "UAEX"
_ALWAYS = frozenset({b"authorization"})
_NEVER = frozenset({b"content-length", b"transfer-encoding", b"connection", b"upgrade"})
PEER_URI_SAN = "%DOWNSTREAM_PEER_URI_SAN%"


class ExtAuthzFilter:
    """The filter ``envoy.filters.http.ext_authz``, with an HTTP service."""

    def __init__(self, config: ExtAuthz, context: FilterContext, name: str) -> None:
        """Compile ``config``; ValueError for what cannot be executed."""
        del name
        service = config.http_service
        if service is None or service.server_uri is None:
            raise ValueError("ext_authz: only an http_service can be executed")
        for field in ("with_request_body", "filter_enabled", "deny_at_disable"):
            if getattr(config, field) is not None:
                raise ValueError(f"ext_authz: {field} cannot be executed")
        self._cluster = service.server_uri.cluster or ""
        timeout = service.server_uri.timeout
        self._timeout = timeout.total_seconds() if timeout else 0.2
        self._prefix = service.path_prefix.encode("latin-1")
        self._allowed = _compile(config.allowed_headers)
        self._disallowed = _compile(config.disallowed_headers)
        request = service.authorization_request
        added = list(request.headers_to_add) if request is not None else []
        self._added = [(each.key.lower().encode("latin-1"), each.value) for each in added]
        for _, value in self._added:
            if "%" in value and value != PEER_URI_SAN:
                raise ValueError(f"ext_authz: the header value {value} cannot be executed")
        error = config.status_on_error
        self._on_error = int(error.code) if error is not None and error.code else 403
        self._fail_open = config.failure_mode_allow
        self._clusters = context.clusters
        self._rng = context.rng
        self._stats = context.stats
        self._prefix_of_stats = context.stat_prefix + "ext_authz."

    async def request(self, flow: HTTPFlow) -> None:
        """Ask; answer the request unless it may go on."""
        info = stream_info(flow)
        route = find_route(flow, info, self._rng)
        if route is not None:
            # The route was chosen before: the log names it although the router is not reached.
            info.route_name = route.name
            found = self._clusters.get(route.cluster)
            info.cluster = route.cluster if found is not None else ""
        answer = await self._ask(flow, info)
        if answer is None:
            self._count("error")
            info.explain("external authorization", why="the server did not answer")
            if self._fail_open:
                self._count("failure_mode_allowed")
                return
            local_reply(flow, info, self._on_error, b"", "ext_authz_error", FLAG)
            return
        status, body, kind = answer
        info.explain("external authorization", status=status)
        if status == 200:
            self._count("ok")
            return
        self._count("denied")
        extra = [(b"content-type", kind)] if kind and body else None
        local_reply(flow, info, status, body, "ext_authz_denied", FLAG, extra)

    def _count(self, name: str) -> None:
        self._stats.inc(self._prefix_of_stats + name)

    async def _ask(self, flow: HTTPFlow, info: StreamInfo) -> tuple[int, bytes, bytes] | None:
        """Return status, body and content type; None when the server fails."""
        cluster = self._clusters.get(self._cluster)
        host = cluster.choose(Context()) if cluster is not None else None
        if cluster is None or host is None:
            return None
        data = flow.request.data
        request = UpstreamRequest(
            data.method,
            b"http",
            data.authority,
            self._prefix + data.path,
            self._fields(list(data.headers.fields), info),
        )
        try:
            async with asyncio.timeout(self._timeout):
                own = StreamInfo(info.start, info.started)
                response, _ = await attempt(cluster, host, request, own)
                body = response.body
                if response.stream is not None:
                    body = b"".join([piece async for piece in response.stream])
        except (UpstreamResetError, TimeoutError):
            return None
        if response.status >= 500:
            return None
        kinds = [value for name, value in response.fields if name == b"content-type"]
        return response.status, body, kinds[0] if kinds else b""

    def _fields(self, fields: Fields, info: StreamInfo) -> Fields:
        added = [
            (name, info.connection.peer_uri_san if value == PEER_URI_SAN else value)
            for name, value in self._added
        ]
        own = {name for name, value in added if value}
        kept = [
            item
            for item in fields
            if item[0] not in own and item[0] not in _NEVER and self._passes(item[0])
        ]
        more = [(name, value.encode("latin-1")) for name, value in added if value]
        return [*kept, *more, (b"content-length", b"0")]

    def _passes(self, name: bytes) -> bool:
        text = name.decode("latin-1")
        if any(test(text) for test in self._disallowed):
            return False
        return name in _ALWAYS or any(test(text) for test in self._allowed)


def _compile(matchers: ListStringMatcher | None) -> list[Any]:
    return [string_test(each) for each in matchers.patterns] if matchers is not None else []
