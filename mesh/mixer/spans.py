"""Spans and traces: one request's way through the mesh, as the sidecars timed it.

Each sidecar that has a request makes a span of it; spans are joined by the ids in the headers
``x-b3-*`` and ``traceparent``, which the application has to copy from the request it got to the
requests it makes.  Where it does not, the trace breaks: the next sidecar begins a new one.
Istio's Telemetry (``spec.tracing``) sets the sampling.  Shown by ``meshctl trace [ID]``.

Source: Zipkin's API v2 (openzipkin/zipkin-api ``zipkin2-api.yaml``), as Envoy's tracer writes it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from mesh.mixer.request_id import without_reason

MAX_TRACES = 5_000
MAX_SPANS = 40_000
MAX_SPANS_OF_A_TRACE = 500


@dataclass(frozen=True, slots=True)
class Span:
    """What one sidecar timed: ``start`` in microseconds since 1970, ``duration`` in microseconds.

    ``kind`` is CLIENT (sent), SERVER (received) or ``""``; ``service`` is the sidecar's service,
    ``pod`` who it is.
    """

    trace_id: str
    id: str
    parent_id: str
    name: str
    kind: str
    service: str
    pod: str
    start: int
    duration: int
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def error(self) -> bool:
        """Whether the request failed (Envoy's tag ``error``)."""
        return self.tags.get("error") == "true"


@dataclass(frozen=True, slots=True)
class Trace:
    """The spans of one trace id, by their beginning; ``roots`` of them have no known parent.

    More than one root is a broken trace only if they are one request's; of a whole one the
    parent of every other span is there.
    """

    id: str
    spans: tuple[Span, ...]

    @property
    def roots(self) -> tuple[Span, ...]:
        """The spans whose parent is not there."""
        known = {span.id for span in self.spans}
        return tuple(span for span in self.spans if span.parent_id not in known)

    @property
    def start(self) -> int:
        """The beginning of the first span, in microseconds since 1970."""
        return self.spans[0].start

    @property
    def duration(self) -> int:
        """Microseconds from the first beginning to the last end."""
        return max(span.start + span.duration for span in self.spans) - self.start

    @property
    def request_id(self) -> str:
        """The ``x-request-id``."""
        return self.spans[0].tags.get("guid:x-request-id", "")

    def ordered(self) -> list[tuple[int, Span]]:
        """Return (depth, span) as a waterfall shows them: each below its parent."""
        children: dict[str, list[Span]] = {}
        for span in self.spans:
            children.setdefault(span.parent_id, []).append(span)
        found: list[tuple[int, Span]] = []
        waiting = [(0, span) for span in reversed(self.roots)]
        seen: set[str] = set()
        while waiting:
            depth, span = waiting.pop()
            found.append((depth, span))
            if span.id in seen:
                continue
            seen.add(span.id)
            waiting += [(depth + 1, each) for each in reversed(children.get(span.id, []))]
        return found

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Trace:
        """Read ``as_dict``'s form."""
        return cls(data["id"], tuple(Span(**each) for each in data["spans"]))


def pod_of(node_id: str) -> str:
    """Return the pod in an Istio node id, ``sidecar~IP~POD.NAMESPACE~DOMAIN``."""
    parts = node_id.split("~")
    return parts[2].partition(".")[0] if len(parts) == 4 else node_id


def parse_spans(data: object) -> list[Span]:
    """Read Zipkin's JSON list of spans; ValueError for anything else."""
    if not isinstance(data, list):
        raise ValueError("spans have to be a JSON list")
    found = []
    for raw in data:
        if not isinstance(raw, dict) or not raw.get("traceId") or not raw.get("id"):
            raise ValueError("a span needs traceId and id")
        tags = {str(key): str(value) for key, value in (raw.get("tags") or {}).items()}
        endpoint = raw.get("localEndpoint") or {}
        found.append(
            Span(
                str(raw["traceId"]).rjust(32, "0"),
                str(raw["id"]),
                str(raw.get("parentId") or ""),
                str(raw.get("name") or ""),
                str(raw.get("kind") or ""),
                str(endpoint.get("serviceName") or ""),
                pod_of(tags.get("node_id", "")),
                int(raw.get("timestamp") or 0),
                int(raw.get("duration") or 0),
                tags,
            )
        )
    return found


class TraceStore:
    """The newest traces; the oldest go first.  ``received`` counts spans by pod, for ever."""

    def __init__(self, max_traces: int = MAX_TRACES, max_spans: int = MAX_SPANS) -> None:
        self._traces: OrderedDict[str, list[Span]] = OrderedDict()
        self._max_traces, self._max_spans = max_traces, max_spans
        self._spans = 0
        self.received: Counter[str] = Counter()
        self.forgotten = 0

    def add(self, spans: Iterable[Span]) -> None:
        """Keep ``spans``."""
        for span in spans:
            self.received[span.pod] += 1
            known = self._traces.setdefault(span.trace_id, [])
            if len(known) >= MAX_SPANS_OF_A_TRACE:
                self.forgotten += 1
                continue
            known.append(span)
            self._spans += 1
            while len(self._traces) > self._max_traces or self._spans > self._max_spans:
                _, gone = self._traces.popitem(last=False)
                self._spans -= len(gone)
                self.forgotten += len(gone)

    def get(self, name: str) -> list[Trace]:
        """Return the traces of a trace id, or of an ``x-request-id``; the beginning of it is enough."""
        if not name:
            return []
        wanted = without_reason(name)
        return [
            _trace(trace_id, spans)
            for trace_id, spans in self._traces.items()
            if trace_id.startswith(name)
            or any(
                without_reason(span.tags.get("guid:x-request-id", "")).startswith(wanted)
                for span in spans
            )
        ]

    def newest(self, limit: int) -> list[Trace]:
        """Return the newest traces, the newest last."""
        chosen = list(self._traces.items())[-limit:] if limit > 0 else []
        found = [_trace(trace_id, spans) for trace_id, spans in chosen]
        return sorted(found, key=lambda trace: trace.start)


def _trace(trace_id: str, spans: list[Span]) -> Trace:
    # Of two that begin in one microsecond the longer one contains the other.
    ordered = sorted(spans, key=lambda span: (span.start, -span.duration))
    return Trace(trace_id, tuple(ordered))
