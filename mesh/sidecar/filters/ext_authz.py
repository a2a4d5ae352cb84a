"""External authorization: another server is asked before a request goes on.

In a real mesh AuthorizationPolicy with ``action: CUSTOM`` sets it; here the check of Mixer (denier,
listchecker, memquota) uses it too.  The server gets the request's method, path (under
``path_prefix``), Host and the headers that are named; an answer of 200 lets the request through, any
other below 500 is sent to the client.  ``filter_enabled_metadata``: only requests that a filter before
has noted are asked about.  When the server fails (no answer, or 5xx) the request is refused
with ``status_on_error`` (403 where it is not set), or let through with ``failure_mode_allow``.
See it with ``meshctl logs POD``: flag UAEX, details ``ext_authz_denied`` or ``ext_authz_error``.

Source: Envoy ``source/extensions/filters/http/ext_authz/ext_authz.cc`` and
``source/extensions/filters/common/ext_authz/ext_authz_http_impl.cc``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import (
    AuthorizationResponse,
    ExtAuthz,
)
from envoy_data_plane.envoy.type.matcher.v3 import ListStringMatcher
from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters import FilterContext
from mesh.sidecar.filters.match import head_of, note_route
from mesh.sidecar.filters.matchers import string_test
from mesh.sidecar.filters.rbac_facts import facts_of
from mesh.sidecar.filters.rbac_matchers import metadata_test
from mesh.sidecar.local_reply import REASONS, local_reply
from mesh.sidecar.mitm.flow import Fields, make_headers
from mesh.sidecar.stream_info import StreamInfo, stream_info
from mesh.sidecar.tracing import Question
from mesh.sidecar.upstream.attempt import attempt
from mesh.sidecar.upstream.balancers import Context
from mesh.sidecar.upstream.message import UpstreamRequest
from mesh.sidecar.upstream.resets import UpstreamResetError

FLAG = "UAEX"
_ALWAYS = frozenset({b"authorization"})
_NEVER = frozenset({b"content-length", b"transfer-encoding", b"connection", b"upgrade"})
PEER_URI_SAN, CLUSTER = "%DOWNSTREAM_PEER_URI_SAN%", "%UPSTREAM_CLUSTER_RAW%"


_TO_REMOVE = b"x-envoy-auth-headers-to-remove"
_TO_CLIENT = frozenset({b"content-length", b"www-authenticate", b"location"})
"""Headers of a refusal that go to the client beside those that are named."""
_SERVICE_TIME = b"x-envoy-upstream-service-time"
_ADD = "ext_authz.response_headers"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said: status, headers (names in lower case) and body."""

    status: int
    fields: Fields
    body: bytes = b""


class Answered:
    """What becomes of the server's answer (``authorization_response``).

    To the application go headers that are named (none by default), to the client of a refused
    request all, or those that are named and three more; to the one of a request that passes, those
    named for it.
    """

    def __init__(self, config: AuthorizationResponse | None) -> None:
        """Compile the lists; ValueError for what cannot be executed."""
        config = config or AuthorizationResponse()
        for field in ("allowed_upstream_headers_to_append", "dynamic_metadata_from_headers"):
            if getattr(config, field) is not None:
                raise ValueError(f"ext_authz: {field} cannot be executed")
        self._upstream = _compile(config.allowed_upstream_headers)
        self._denied = _compile(config.allowed_client_headers)
        self._passed = _compile(config.allowed_client_headers_on_success)

    def to_client(self, answer: Answer) -> Fields:
        """Return the headers of a refusal."""
        if not self._denied:
            return [item for item in answer.fields if item[0] not in (b"host", b"content-length")]
        return [
            item
            for item in answer.fields
            if item[0] != b"content-length"
            and (item[0] in _TO_CLIENT or _named(item[0], self._denied))
        ]

    def to_passed_client(self, answer: Answer) -> Fields:
        """Return the headers that the answer to a request that passes gets too."""
        return [item for item in answer.fields if _named(item[0], self._passed)]

    def changed(self, fields: Fields, answer: Answer) -> Fields:
        """Return the request's headers with what the server sets and takes away."""
        own = {
            name: value
            for name, value in answer.fields
            if name != _TO_REMOVE and _named(name, self._upstream)
        }
        gone = {
            each.strip().lower()
            for name, value in answer.fields
            if name == _TO_REMOVE
            for each in value.split(b",")
        }
        kept = [item for item in fields if item[0] not in own]
        return [item for item in [*kept, *own.items()] if item[0] not in gone]


class ExtAuthzFilter:
    """The filter ``envoy.filters.http.ext_authz``, with an HTTP service."""

    def __init__(self, config: ExtAuthz, context: FilterContext, name: str) -> None:
        """Compile ``config``; ValueError for what cannot be executed."""
        self._name = name
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
            if "%" in value and value not in (PEER_URI_SAN, CLUSTER):
                raise ValueError(f"ext_authz: the header value {value} cannot be executed")
        self._answered = Answered(service.authorization_response)
        noted = config.filter_enabled_metadata
        self._asks = metadata_test(noted) if noted is not None else None
        error = config.status_on_error
        self._on_error = int(error.code) if error is not None and error.code else 403
        self._fail_open = config.failure_mode_allow
        self._context = context
        self._clusters, self._stats = context.clusters, context.stats
        self._prefix_of_stats = context.stat_prefix + "ext_authz."

    async def request(self, flow: HTTPFlow) -> None:
        """Ask; answer the request unless it may go on."""
        info = stream_info(flow)
        if self._asks is not None and not self._asks(facts_of(flow, info)):
            self._count("disabled")
            return
        # Envoy chose the route before: the log names it although the router is not reached.
        note_route(flow, info, self._context)
        answer = await self._ask(flow, info)
        if answer is None:
            self._count("error")
            info.explain("external authorization", why="the server did not answer")
            if self._fail_open:
                self._count("failure_mode_allowed")
                return
            local_reply(flow, info, self._on_error, b"", "ext_authz_error", FLAG)
            return
        info.explain("external authorization", status=answer.status)
        if answer.status == 200:
            self._count("ok")
            self._let_through(flow, info, answer)
            return
        self._count("denied")
        extra = self._answered.to_client(answer)
        if not answer.body:
            extra = [item for item in extra if item[0] != b"content-type"]
        local_reply(flow, info, answer.status, answer.body, "ext_authz_denied", FLAG, extra)

    def response(self, flow: HTTPFlow) -> None:
        """Add what the server wants the client of a request that passed to know."""
        added = stream_info(flow).metadata.get(_ADD, {}).get(self._name)
        if added and flow.response is not None:
            fields = flow.response.data.headers.fields
            flow.response.data.headers = make_headers([*fields, *added])

    def _let_through(self, flow: HTTPFlow, info: StreamInfo, answer: Answer) -> None:
        added = self._answered.to_passed_client(answer)
        if added:
            info.metadata.setdefault(_ADD, {})[self._name] = added
        fields = list(flow.request.data.headers.fields)
        changed = self._answered.changed(fields, answer)
        if changed != fields:
            route = info.route
            flow.request.headers = make_headers(changed)
            head_of(flow, info)
            info.route = route  # it stays, whatever the new headers would lead to

    def _count(self, name: str) -> None:
        self._stats.inc(self._prefix_of_stats + name)

    async def _ask(self, flow: HTTPFlow, info: StreamInfo) -> Answer | None:
        """Return what the server says; None when it fails."""
        cluster = self._clusters.get(self._cluster)
        host = cluster.choose(Context()) if cluster is not None else None
        if cluster is None or host is None:
            return None
        data = flow.request.data
        fields = self._fields(list(data.headers.fields), info)
        span = info.span.question(self._cluster) if info.span is not None else None
        request = UpstreamRequest(
            data.method,
            b"http",
            data.authority,
            self._prefix + data.path,
            span.inject(fields) if span is not None else fields,
        )
        own = StreamInfo(info.start, info.started)
        answer: Answer | None = None
        begin = self._context.clock()
        try:
            async with asyncio.timeout(self._timeout):
                response, _ = await attempt(cluster, host, request, own)
                body = response.body
                if response.stream is not None:
                    body = b"".join([piece async for piece in response.stream])
            kept = [item for item in response.fields if item[0] != _SERVICE_TIME]
            spent = b"%d" % int((self._context.clock() - begin) * 1000)
            answer = Answer(response.status, [*kept, (_SERVICE_TIME, spent)], body)
        except UpstreamResetError as reset:
            own.flag(reset.flag)
        except TimeoutError:
            own.flag("UT")
        if span is not None:
            _finish(span, host.key, answer, own.flags_text())
        return answer if answer is not None and answer.status < 500 else None

    def _fields(self, fields: Fields, info: StreamInfo) -> Fields:
        known = {PEER_URI_SAN: info.connection.peer_uri_san, CLUSTER: info.cluster}
        added = [(name, known.get(value, value)) for name, value in self._added]
        own = {name for name, value in added if value}
        kept = [
            item
            for item in fields
            if item[0] not in own and item[0] not in _NEVER and self._passes(item[0])
        ]
        more = [(name, value.encode("latin-1")) for name, value in added if value]
        # Envoy's async client says that the mesh itself asks, and how long it waits.
        timeout = b"%d" % round(self._timeout * 1000)
        own_words = [(b"x-envoy-internal", b"true"), (b"x-envoy-expected-rq-timeout-ms", timeout)]
        return [*kept, *more, (b"content-length", b"0"), *own_words]

    def _passes(self, name: bytes) -> bool:
        if _named(name, self._disallowed):
            return False
        return name in _ALWAYS or _named(name, self._allowed)


def _finish(span: Question, address: str, answer: Answer | None, flags: str) -> None:
    """Report the question with what came of it, in Envoy's words."""
    status = answer.status if answer is not None else 0
    if not 0 < status < 500:
        span.finish(address, status, flags, {"ext_authz_status": "ext_authz_error"})
        return
    word = "ext_authz_ok" if status == 200 else "ext_authz_unauthorized"
    reason = REASONS.get(status, b"Unknown").decode()
    span.finish(address, status, flags, {"ext_authz_status": word, "ext_authz_http_status": reason})


def _named(name: bytes, tests: Sequence[Callable[[str], bool]]) -> bool:
    text = name.decode("latin-1")
    return any(test(text) for test in tests)


def _compile(matchers: ListStringMatcher | None) -> list[Any]:
    return [string_test(each) for each in matchers.patterns] if matchers is not None else []
