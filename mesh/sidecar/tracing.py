"""Tracing: each request that a sidecar has becomes a span, and the next sidecar's span its child.

The sidecar draws whether a request is traced (Telemetry ``spec.tracing[].randomSamplingPercentage``),
notes the decision in ``x-request-id``, takes the trace over from the headers ``b3``, ``x-b3-*`` or
``traceparent`` or begins one, and writes the headers of its own span into the request that goes
upstream.  Between a request that came in and one that goes out stands the application: if it does
not copy these headers, the trace ends there.  See it with ``meshctl trace``.

Source: Envoy ``source/extensions/tracers/zipkin/`` (span_context_extractor.cc, tracer.cc),
``source/common/http/conn_manager_utility.cc`` (mutateTracingRequestHeader),
``source/extensions/request_id/uuid/config.cc`` (trace reason).
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from random import Random
from typing import Any

from envoy_data_plane.envoy.config.trace.v3 import (
    ZipkinConfig,
    ZipkinConfigCollectorEndpointVersion,
    ZipkinConfigTraceContextOption,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManagerTracing,
)
from envoy_data_plane.envoy.type.tracing.v3 import CustomTag

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.mitm.flow import Fields
from mesh.sidecar.stream_info import StreamInfo
from mesh.sidecar.xds import unpack
from mesh.sidecar.zipkin import Reporter

REQUEST_ID = b"x-request-id"
TRACE_ID, SPAN_ID = b"x-b3-traceid", b"x-b3-spanid"
PARENT_ID, SAMPLED, FLAGS = b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags"
TRACEPARENT, B3 = b"traceparent", b"b3"
CONTEXT = frozenset({TRACE_ID, SPAN_ID, PARENT_ID, SAMPLED, TRACEPARENT})
"""Headers that a span writes anew."""
SINGLE = frozenset({B3, TRACEPARENT})
"""The same where the caller said it in the one header ``b3``; ``x-b3-*`` beside it pass as they are."""
SAMPLED_REASON = "9"
"""What stands in a traced request id where version 4 has its 4; ``a`` and ``b``: it was forced."""
_REASONS = "9ab"
_HEX = re.compile(r"[0-9a-f]+")
_SINGLE = re.compile(
    r"([0-9a-f]{32}|[0-9a-f]{16})-([0-9a-f]{16})(?:-([01d])(?:-([0-9a-f]{16}))?)?|([01d])"
)
_TRACEPARENT = re.compile(
    r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
)


@dataclass(frozen=True, slots=True)
class SpanContext:
    """What travels in headers: ids in lower-case hexadecimal; ``parent_id`` ``""`` at the root.

    ``single``: it came in the header ``b3`` and goes on in it.
    """

    trace_id: str
    span_id: str
    parent_id: str
    sampled: bool
    single: bool = False

    def inject(self, fields: Fields) -> Fields:
        """Return ``fields`` with this context in place of the caller's."""
        written = SINGLE if self.single else CONTEXT
        return [each for each in fields if each[0] not in written] + self.headers()

    def headers(self) -> Fields:
        """Return the headers by which the next sidecar goes on."""
        sampled = b"1" if self.sampled else b"0"
        trace, span = self.trace_id.encode(), self.span_id.encode()
        parent = (TRACEPARENT, b"00-%b-%b-0%b" % (trace.rjust(32, b"0"), span, sampled))
        if self.single:
            parts = [trace, span, sampled, *([self.parent_id.encode()] if self.parent_id else [])]
            return [(B3, b"-".join(parts)), parent]
        fields = [(TRACE_ID, trace), (SPAN_ID, span)]
        if self.parent_id:
            fields.append((PARENT_ID, self.parent_id.encode()))
        fields.append((SAMPLED, sampled))
        fields.append(parent)
        return fields


def decide(request_id: str, percent: float) -> tuple[str, bool]:
    """Decide whether a request is traced; return its id, which notes the decision, and that.

    An id that is no UUID notes nothing, so its request is not traced (unless a parent was).  The
    draw is the id itself, so every sidecar would draw the same.
    """
    if len(request_id) != 36:
        return request_id, False
    if request_id[14] in _REASONS:
        return request_id, True
    try:
        drawn = int(request_id[:8], 16) % 10_000
    except ValueError:
        return request_id, False
    if drawn >= int(percent * 100):
        return request_id, False
    return request_id[:14] + SAMPLED_REASON + request_id[15:], True


class NoSpanError(ValueError):
    """The headers ``b3`` or ``x-b3-*`` make no sense: Envoy passes them on and has no span of its own."""


def extract(headers: dict[bytes, bytes], traced: bool) -> tuple[SpanContext | None, bool]:
    """Return the caller's context, or None, and whether to sample: its decision before ours.

    ``b3`` counts alone where it is there (``_extract_single``).  ``traceparent`` counts where ``x-b3-traceid`` or ``x-b3-spanid`` is missing; then it is sampled
    when its flag or ``x-b3-sampled`` says so.  Raises NoSpanError.
    """
    if B3 in headers:
        return _extract_single(headers[B3].decode("latin-1").lower(), traced)
    text = {name: headers[name].decode("latin-1").lower() for name in headers.keys() & CONTEXT}
    found = _TRACEPARENT.fullmatch(text.get(TRACEPARENT, ""))
    theirs = found is not None and bool(int(found[3], 16) & 1)
    said = text.get(SAMPLED)
    sampled = theirs if found is not None else traced
    if said is not None:
        sampled = said in ("1", "true")
    if headers.get(FLAGS) == b"1":
        sampled = True
    if TRACE_ID in text and SPAN_ID in text:
        trace, span = _number(text[TRACE_ID], 32), _number(text[SPAN_ID], 16)
        return SpanContext(trace, span, text.get(PARENT_ID, ""), sampled), sampled
    if found is not None:
        sampled = theirs or said in ("1", "true")
        return SpanContext(found[1], found[2], "", sampled), sampled
    return None, sampled


def _extract_single(text: str, traced: bool) -> tuple[SpanContext, bool]:
    """Read ``TRACE-SPAN[-SAMPLED[-PARENT]]`` or SAMPLED alone; ``d`` (debug) is sampled too.

    A context without ids stands for a trace that is to begin.
    """
    found = _SINGLE.fullmatch(text)
    if found is None:
        raise NoSpanError
    trace, span, said, parent, alone = found.groups(default="")
    sampled = (said or alone) != "0" if said or alone else traced
    return SpanContext(trace, span, parent, sampled, single=True), sampled


def _number(text: str, most: int) -> str:
    """Return an id of 16 (or ``most``) digits; NoSpanError for what is none."""
    if not _HEX.fullmatch(text) or (len(text) > 16 and len(text) != most):
        raise NoSpanError
    return text.zfill(16)


def child(parent: SpanContext | None, sampled: bool, rng: Random) -> SpanContext:
    """Begin a span below ``parent``, or a trace."""
    span_id = f"{rng.getrandbits(64):016x}"
    single = parent is not None and parent.single
    if parent is not None and parent.trace_id:
        return SpanContext(parent.trace_id, span_id, parent.span_id, sampled, single)
    return SpanContext(f"{rng.getrandbits(64):016x}{span_id}", span_id, "", sampled, single)


@dataclass(slots=True)
class ActiveSpan:
    """The span of one request in service."""

    context: SpanContext
    name: str
    tracer: Tracer

    @property
    def trace_id(self) -> str:
        """The id of the trace."""
        return self.context.trace_id

    def inject(self, fields: Fields) -> Fields:
        """Return ``fields`` with the headers of this span."""
        return self.context.inject(fields)

    def shadow(self, fields: Fields, sampled: bool | None, rng: Random) -> Fields:
        """Return the headers of a mirrored copy: a span of its own, mostly not sampled."""
        keep = self.context.sampled if sampled is None else sampled
        context = child(self.context, keep, rng)
        return context.inject(fields)

    def question(self, cluster: str) -> Question:
        """Begin the span of a question that the sidecar itself asks because of this request."""
        context = child(self.context, self.context.sampled, self.tracer.rng)
        return Question(context, cluster, self.tracer, time.time(), time.monotonic())


@dataclass(frozen=True, slots=True)
class Question:
    """The span of a request of the sidecar's own (external authorization), as Envoy's async client has it."""

    context: SpanContext
    cluster: str
    tracer: Tracer
    start: float
    started: float

    def inject(self, fields: Fields) -> Fields:
        """Return ``fields`` with the headers of this span."""
        return self.context.inject(fields)

    def finish(self, address: str, status: int, flags: str, tags: dict[str, str]) -> None:
        """Report the span, if it is sampled; ``status`` 0: no answer came."""
        known = {
            "component": "proxy",
            "upstream_cluster": self.cluster,
            "upstream_cluster.name": self.cluster,
            "http.protocol": "HTTP/1.1",
            "http.status_code": str(status),
            "response_flags": flags,
        }
        if address:
            known["upstream_address"] = known["peer.address"] = address
        if status == 0 or status >= 500:
            known["error"] = "true"
        name = f"async {self.cluster} egress"
        seconds = time.monotonic() - self.started
        self.tracer.report(self.context, name, "CLIENT", self.start, seconds, known | tags)


class Tracer:
    """Tracing of one listener, compiled of ``HttpConnectionManager.tracing``."""

    def __init__(self, config: HttpConnectionManagerTracing, reporter: Reporter, kind: str) -> None:
        """Compile ``config``; ``kind`` is CLIENT or SERVER.

        Raises ConfigRefusedError for what cannot be executed.
        """
        provider = config.provider
        if provider is None:
            raise ConfigRefusedError("tracing: a provider is needed")
        zipkin = unpack(provider.typed_config, "tracing")
        if not isinstance(zipkin, ZipkinConfig):
            raise ConfigRefusedError(
                "tracing: only the tracer envoy.tracers.zipkin can be executed"
            )
        version = ZipkinConfigCollectorEndpointVersion.HTTP_JSON
        both = ZipkinConfigTraceContextOption.USE_B3_WITH_W3C_PROPAGATION
        if (
            zipkin.collector_endpoint_version is not version
            or zipkin.shared_span_context is not False
            or zipkin.trace_context_option is not both
            or not zipkin.trace_id_128bit
            or zipkin.split_spans_for_request
            or config.spawn_upstream_span
        ):
            raise ConfigRefusedError(
                "tracing: only Zipkin's HTTP_JSON with ids of 128 bits, B3 with W3C and spans "
                "that are not shared can be executed"
            )
        random = config.random_sampling
        self._percent = 100.0 if random is None else random.value
        self._cluster, self._endpoint = zipkin.collector_cluster, zipkin.collector_endpoint
        self._tags = [_compile_tag(tag) for tag in config.custom_tags]
        self._reporter = reporter
        self._kind = kind

    def start(self, fields: Fields, authority: bytes, info: StreamInfo) -> Fields:
        """Begin the span of a request; return its headers, with the id that notes the decision."""
        headers = dict(reversed(fields))
        request_id = headers.get(REQUEST_ID, b"").decode("latin-1")
        noted, traced = decide(request_id, self._percent)
        if noted != request_id:
            value = noted.encode("latin-1")
            fields = [(n, value if n == REQUEST_ID else v) for n, v in fields]
        try:
            parent, sampled = extract(headers, traced)
        except NoSpanError:
            return fields
        context = child(parent, sampled, self._reporter.rng)
        info.span = ActiveSpan(context, authority.decode("latin-1"), self)
        return fields

    def finish(self, info: StreamInfo, request: dict[bytes, bytes]) -> None:
        """Report the span of a finished request, if it is sampled."""
        span: ActiveSpan | None = info.span
        if span is None or not span.context.sampled:
            return
        seconds, tags = info.ended - info.started, self._span_tags(info, request)
        self.report(span.context, span.name, self._kind, info.start, seconds, tags)

    @property
    def rng(self) -> Random:
        """Draws the ids of spans."""
        return self._reporter.rng

    def report(
        self,
        context: SpanContext,
        name: str,
        kind: str,
        begin: float,
        seconds: float,
        tags: dict[str, str],
    ) -> None:
        """Send a finished span, if it is sampled; ``begin`` in seconds since 1970."""
        if not context.sampled:
            return
        start, duration = int(begin * 1e6), max(int(seconds * 1e6), 1)
        data: dict[str, Any] = {
            "traceId": context.trace_id,
            "id": context.span_id,
            "kind": kind,
            "name": name,
            "timestamp": start,
            "duration": duration,
            "localEndpoint": self._reporter.endpoint,
            "annotations": [
                {"timestamp": start + duration, "value": "cr" if kind == "CLIENT" else "ss"}
            ],
            "tags": tags,
        }
        if context.parent_id:
            data["parentId"] = context.parent_id
        self._reporter.report(self._cluster, self._endpoint, data)

    def _span_tags(self, info: StreamInfo, request: dict[bytes, bytes]) -> dict[str, str]:
        def header(name: bytes, default: str = "-") -> str:
            value = request.get(name)
            return value.decode("latin-1") if value else default

        path = header(b"x-envoy-original-path", "") or header(b":path", "")
        scheme = header(b"x-forwarded-proto", "http")
        tags = {
            "component": "proxy",
            "node_id": self._reporter.node_id,
            "guid:x-request-id": header(REQUEST_ID),
            "http.url": f"{scheme}://{header(b':authority', '')}{path}",
            "http.method": header(b":method"),
            "http.protocol": info.protocol,
            "http.status_code": str(info.response_code),
            "downstream_cluster": header(b"x-envoy-downstream-service-cluster"),
            "user_agent": header(b"user-agent"),
            "request_size": str(info.bytes_received),
            "response_size": str(info.bytes_sent),
            "response_flags": info.flags_text(),
            "peer.address": info.downstream_remote_address.rpartition(":")[0],
        }
        if info.cluster:
            tags["upstream_cluster"] = tags["upstream_cluster.name"] = info.cluster
        if info.response_code == 0 or info.response_code >= 500:
            tags["error"] = "true"
        for name, source, value in self._tags:
            found = header(source, value) if source else value
            if found:
                tags[name] = found
        return tags


def _compile_tag(tag: CustomTag) -> tuple[str, bytes, str]:
    """Return (name, header or nothing, literal or default)."""
    if tag.literal is not None:
        return tag.tag, b"", tag.literal.value
    if tag.request_header is not None:
        header = tag.request_header
        return tag.tag, header.name.lower().encode(), header.default_value
    if tag.environment is not None:
        variable = tag.environment
        return tag.tag, b"", os.environ.get(variable.name, variable.default_value)
    raise ConfigRefusedError(f"tracing: the custom tag {tag.tag!r} cannot be executed")
