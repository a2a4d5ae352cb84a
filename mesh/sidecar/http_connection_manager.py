"""HttpConnectionManager: what happens to a request between a connection and the filters.

Envoy's network filter of this name turns bytes into requests, cleans their headers, runs the
HTTP filters, finishes the answer and writes the access log.  Istio configures it in the
listeners ``virtualInbound`` and outbound; nothing of it has a field of its own in a VirtualService.
See it with ``meshctl proxy-config listeners POD``.

Source: Envoy ``source/common/http/conn_manager_utility.cc`` (mutateRequestHeaders,
mutateResponseHeaders).
"""

from __future__ import annotations

import time
from dataclasses import replace
from email.utils import formatdate
from ipaddress import ip_address
from random import Random
from typing import TYPE_CHECKING, Any

from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager as HcmConfig,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManagerCodecType as CodecType,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManagerServerHeaderTransformation as ServerHeader,
)
from mitmproxy.http import HTTPFlow

from mesh.sidecar import forward_client_cert
from mesh.sidecar.access_log import LogContext, LogFiles
from mesh.sidecar.access_log_config import make_loggers
from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.filters import FilterContext, make_filters
from mesh.sidecar.filters.routing import RouteTable
from mesh.sidecar.mitm.connection import ConnectionHandler
from mesh.sidecar.mitm.flow import make_headers, random_uuid
from mesh.sidecar.mitm.http1 import MAX_HEAD_KB, MAX_HEADERS, RawHead
from mesh.sidecar.mitm.master import hooks_of
from mesh.sidecar.normalize_path import one_spelling, path_rules
from mesh.sidecar.stats import Stats
from mesh.sidecar.stream_info import ConnectionInfo, StreamInfo
from mesh.sidecar.tracing import Tracer
from mesh.sidecar.xds import compile_routes, seconds

if TYPE_CHECKING:
    from mesh.sidecar.listener import ActiveListener

# Envoy believes these only of a caller inside the mesh, which needs use_remote_address and
# internal_address_config; nothing in Istio sets both.
_NOT_FROM_CALLERS = frozenset(
    b"x-envoy-internal x-envoy-retry-on x-envoy-retry-grpc-on x-envoy-max-retries "
    b"x-envoy-retriable-status-codes x-envoy-retriable-header-names x-envoy-upstream-alt-stat-name "
    b"x-envoy-upstream-rq-timeout-ms x-envoy-upstream-rq-per-try-timeout-ms "
    b"x-envoy-upstream-rq-timeout-alt-response x-envoy-expected-rq-timeout-ms "
    b"x-envoy-force-trace x-envoy-ip-tags x-envoy-original-url "
    b"x-envoy-hedge-on-per-try-timeout".split()
)
# What a gateway takes from strangers beside these.
_NOT_AT_THE_EDGE = frozenset(
    b"x-forwarded-proto x-envoy-external-address x-envoy-decorator-operation "
    b"x-envoy-downstream-service-cluster x-envoy-downstream-service-node "
    b"x-envoy-original-path".split()
)


def last_address(text: str) -> str:
    """Return the last IP address of an x-forwarded-for, ``""`` when it is none."""
    try:
        return str(ip_address(text.rpartition(",")[2].strip()))
    except ValueError:
        return ""


class _Date:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def text(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._text = formatdate(now, usegmt=True).encode()
        return self._text


class HttpConnectionManager:
    """One listener's HTTP configuration, compiled; a change makes a new object."""

    def __init__(
        self,
        config: HcmConfig,
        context: FilterContext,
        logs: LogFiles,
        tables: dict[str, RouteTable],
        kind: str = "SERVER",
    ) -> None:
        """Compile ``config``; ``tables`` are the routes that RDS brought, by name.

        ``kind`` is that of the spans: CLIENT for a listener of direction OUTBOUND.

        Raises ConfigRefusedError for what cannot be executed.
        """
        self._tables = tables
        self.stat_prefix = f"http.{config.stat_prefix}."
        self.rds_name = config.rds.route_config_name if config.rds is not None else ""
        self.table: RouteTable | None = None
        if config.route_config is not None:
            self.table = compile_routes(config.route_config)
        elif not self.rds_name:
            raise ConfigRefusedError("http connection manager: neither route_config nor rds")
        self.filters = make_filters(
            config.http_filters, replace(context, stat_prefix=self.stat_prefix)
        )
        self.request_hooks = hooks_of(self.filters, "request")
        self.response_hooks = hooks_of(list(reversed(self.filters)), "response")
        self._loggers = make_loggers(config.access_log, logs)
        self._server = (config.server_name or "envoy").encode()
        self.server_name = (
            b""
            if config.server_header_transformation is ServerHeader.PASS_THROUGH
            else self._server
        )
        self._server_header = config.server_header_transformation
        self._request_ids = config.generate_request_id is not False
        self._return_request_id = config.always_set_request_id_in_response
        self.upgrades = frozenset(
            item.upgrade_type.lower().encode()
            for item in config.upgrade_configs
            if item.enabled is not False
        )
        self._path_rules = path_rules(config)
        self.may_be_http2 = config.codec_type is not CodecType.HTTP1
        common = config.common_http_protocol_options
        self.max_head_bytes = (config.max_request_headers_kb or MAX_HEAD_KB) * 1024
        self.max_headers, self.max_requests = MAX_HEADERS, 0
        self.stream_idle_timeout = seconds(config.stream_idle_timeout, 300.0)
        self.delayed_close_timeout = seconds(config.delayed_close_timeout, 1.0)
        self.drain_timeout = seconds(config.drain_timeout, 5.0)
        self.request_timeout = seconds(config.request_timeout, 0.0)
        self.request_headers_timeout = seconds(config.request_headers_timeout, 0.0)
        self.idle_timeout = seconds(common.idle_timeout, 3600.0) if common is not None else 3600.0
        self.max_connection_duration = self.max_stream_duration = 0.0
        if common is not None:
            self.max_connection_duration = seconds(common.max_connection_duration, 0.0)
            self.max_stream_duration = seconds(common.max_stream_duration, 0.0)
            self.max_headers = common.max_headers_count or MAX_HEADERS
            self.max_requests = common.max_requests_per_connection or 0
        self._edge = bool(config.use_remote_address)
        self._append_xff = self._edge and not config.skip_xff_append
        self._keep_request_id = not self._edge or config.preserve_external_request_id
        self._forward_client_cert = forward_client_cert.compile_rule(config)
        self._tracer: Tracer | None = None
        if config.tracing is not None and config.tracing.provider is not None and context.spans:
            self._tracer = Tracer(config.tracing, context.spans, kind)
        self._stats: Stats = context.stats
        self._active = self.stat_prefix + "downstream_rq_active"
        self._explanations = context.explanations
        self._rng: Random = context.rng
        self._date = _Date()

    @property
    def routes(self) -> RouteTable | None:
        """The routes in force: inline, or the newest by RDS; None until they have come."""
        return self.table or self._tables.get(self.rds_name)

    @property
    def warm(self) -> bool:
        """Whether the routes are known."""
        return self.routes is not None

    def refuse(self, connection: ConnectionInfo, reason: str) -> None:
        """Nothing to note: no request has come."""

    def protocol(
        self, listener: ActiveListener, connection: ConnectionInfo | None
    ) -> ConnectionHandler:
        """Make what serves one connection."""
        return ConnectionHandler(listener, self, connection)

    def count(self, name: str) -> None:
        """Count an event under Envoy's name."""
        self._stats.inc(self.stat_prefix + name)

    def count_connection(self, change: int) -> None:
        """Count a client that came (1) or went (-1)."""
        self._stats.inc(self.stat_prefix + "downstream_cx_active", change)
        if change > 0:
            self._stats.inc(self.stat_prefix + "downstream_cx_total")

    def prepare_request(self, head: RawHead, connection: ConnectionInfo) -> None:
        """Change the headers of ``head`` as Envoy does before the first filter."""
        self._stats.inc(self._active)
        if self._path_rules and head.path[:1] == b"/" and not head.refusal:
            path = one_spelling(head.path, self._path_rules)
            if path is None:
                head.refusal = "path_normalization_failed"
            else:
                head.path = path
        remote = connection.remote
        fields = head.fields
        names = {name for name, _ in fields}
        if not names.isdisjoint(_NOT_FROM_CALLERS):
            fields = [item for item in fields if item[0] not in _NOT_FROM_CALLERS]
        if self._edge:
            # A gateway speaks to strangers: what they say about themselves is replaced.
            theirs = _NOT_AT_THE_EDGE
            if not self._keep_request_id:
                theirs |= {b"x-request-id"}
            fields = [item for item in fields if item[0] not in theirs]
            names -= theirs
            fields.append((b"x-envoy-external-address", remote[0].encode()))
        if self._append_xff or b"x-forwarded-for" in names:
            values = [value for name, value in fields if name == b"x-forwarded-for"]
            if self._append_xff and remote[0]:
                values.append(remote[0].encode())
            fields = [item for item in fields if item[0] != b"x-forwarded-for"]
            if values:
                fields.append((b"x-forwarded-for", b",".join(values)))
        if b"x-forwarded-proto" not in names:
            fields.append((b"x-forwarded-proto", b"https" if connection.tls else b"http"))
        elif connection.tls is not None:
            # The scheme is the one that the first proxy saw: inside the mesh http goes over TLS.
            said = next(value for name, value in fields if name == b"x-forwarded-proto")
            head.scheme = said if said in (b"http", b"https") else head.scheme
        if connection.tls is not None or forward_client_cert.HEADER in names:
            fields = self._forward_client_cert.apply(fields, connection)
        if self._request_ids and b"x-request-id" not in names:
            fields.append((b"x-request-id", random_uuid(self._rng).encode()))
        head.fields = fields

    def original_client(self, head: RawHead, info: StreamInfo) -> None:
        """Believe the last address of x-forwarded-for, where the connection's peer is a proxy.

        A gateway (``use_remote_address``) believes only the connection.  Policies, consistent
        hashing and the access log speak of this address.
        """
        if self._edge:
            return
        for name, value in head.fields:
            if name == b"x-forwarded-for":
                address = last_address(value.decode("latin-1"))
                if address:
                    info.downstream_remote_address = f"{address}:0"

    def start_span(self, head: RawHead, info: StreamInfo) -> None:
        """Begin the span of a request, where tracing is on; after ``prepare_request``."""
        if self._tracer is not None:
            head.fields = self._tracer.start(head.fields, head.authority, info)

    def date(self) -> bytes:
        """Return the value of a Date header."""
        return self._date.text()

    async def run_request(self, flow: HTTPFlow) -> None:
        """Run the filters on the request until one has an answer; the router always has."""
        for function, is_async in self.request_hooks:
            result = function(flow)
            if is_async and result is not None:
                await result
            if flow.response is not None:
                return

    async def run_response(self, flow: HTTPFlow) -> None:
        """Run the filters on the answer, last one first."""
        for function, is_async in self.response_hooks:
            result = function(flow)
            if is_async and result is not None:
                await result

    def finish_response(self, flow: HTTPFlow, closing: bool) -> None:
        """Give the answer the headers that Envoy sets last."""
        response: Any = flow.response
        fields = list(response.headers.fields)
        names = {name for name, _ in fields}
        if self._server_header is ServerHeader.OVERWRITE:
            if b"server" in names:
                fields = [
                    (name, self._server if name == b"server" else value) for name, value in fields
                ]
            else:
                fields.append((b"server", self._server))
        elif self._server_header is ServerHeader.APPEND_IF_ABSENT and b"server" not in names:
            fields.append((b"server", self._server))
        if b"date" not in names:
            fields.append((b"date", self._date.text()))
        if self._return_request_id:
            request_id = flow.request.headers.get("x-request-id", "")
            fields.append((b"x-request-id", request_id.encode()))
        if closing:
            fields.append((b"connection", b"close"))
        response.headers = make_headers(fields)

    def log(self, info: StreamInfo, flow: HTTPFlow | None) -> None:
        """Count the finished request and write its line; ``flow`` is None for a refused head."""
        stats, prefix = self._stats, self.stat_prefix
        stats.inc(prefix + "downstream_rq_total")
        stats.inc(prefix + "downstream_rq_completed")
        if info.response_code:
            stats.inc(f"{prefix}downstream_rq_{info.response_code // 100}xx")
        request: dict[bytes, bytes] = {}
        response = None
        if flow is not None:
            stats.inc(self._active, -1)
            data = flow.request.data
            request = dict(reversed(data.headers.fields))
            request[b":method"] = data.method
            if data.path:
                request[b":path"] = data.path
            if data.authority or info.details != "missing_host_header":
                request[b":authority"] = request[b"host"] = data.authority
            request[b":scheme"] = data.scheme
            response = flow.response.headers if flow.response is not None else None
            request_id = request.get(b"x-request-id", b"")
            self._explanations.add(info, flow, request_id, prefix)
            if self._tracer is not None:
                self._tracer.finish(info, request)
        context = LogContext(info, request, response)
        for logger in self._loggers:
            logger.log(context)
