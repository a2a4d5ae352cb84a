"""Explain: why a request went where it went, as data, for the requests served last.

A mesh decides a lot between two services, and an access log shows only what came of it.  Each
decision of this sidecar leaves an entry in the request's StreamInfo: the route that matched (and
why not those before it), the draw among subsets, the endpoint and why, each attempt, ejections,
faults, mirrors.  A bounded ring keeps the newest; texts are made when somebody asks.
See it with ``meshctl explain REQUEST`` or ``curl "ADMIN/explain?request_id=ID"``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mitmproxy.http import HTTPFlow

from mesh.sidecar.stream_info import StreamInfo

if TYPE_CHECKING:
    from mesh.sidecar.filters.head import RequestHead

KEPT = 500
"""Requests that a sidecar remembers, some 3 kB each."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One finished request; ``listener`` is the statistics prefix of where it came in."""

    info: StreamInfo
    listener: str
    method: bytes
    authority: bytes
    path: bytes
    request_id: bytes


class Explanations:
    """The newest requests of one sidecar."""

    def __init__(self, kept: int = KEPT) -> None:
        self._entries: deque[_Entry] = deque(maxlen=kept)

    def add(self, info: StreamInfo, flow: HTTPFlow, request_id: bytes, listener: str) -> None:
        """Remember a finished request, and let go of the connections and bodies it had."""
        info.upstream_connection = info.response_stream = info.request_stream = info.head = None
        info.response_timer = info.timed_out = info.limits = None
        data = flow.request.data
        self._entries.append(
            _Entry(info, listener, data.method, data.authority, data.path, request_id)
        )

    def find(self, request_id: str = "", limit: int = 20) -> list[dict[str, Any]]:
        """Return the records of one request, or the newest ``limit``; oldest first."""
        if request_id:
            wanted = request_id.encode("latin-1", "replace")
            chosen = [each for each in self._entries if each.request_id == wanted]
        else:
            chosen = list(self._entries)[-limit:] if limit > 0 else []
        return [_record(each) for each in chosen]


def _record(entry: _Entry) -> dict[str, Any]:
    info = entry.info
    steps = [dict(step) for step in info.explanation]
    if info.asked is not None and info.route_table is not None:
        passed = info.route_table.not_taken(*_asked(info))
        for step in steps:
            if passed and step["step"] in ("route", "no route"):
                step["not_taken"] = passed
                break
    moment = datetime.fromtimestamp(info.start, UTC)
    return {
        "request_id": entry.request_id.decode("latin-1"),
        "start_time": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "listener": entry.listener,
        "method": entry.method.decode("latin-1"),
        "authority": entry.authority.decode("latin-1"),
        "path": entry.path.decode("latin-1"),
        "response_code": info.response_code,
        "response_flags": info.flags_text(),
        "response_code_details": info.details,
        "duration_ms": round((info.ended - info.started) * 1000, 3),
        "route_name": info.route_name,
        "upstream_cluster": info.cluster,
        "upstream_host": info.upstream_host,
        "attempts": info.attempts,
        "steps": steps,
    }


def _asked(info: StreamInfo) -> tuple[RequestHead, Any]:
    """Make the view of the request again on which its route was chosen; and that route."""
    from mesh.sidecar.filters.head import RequestHead  # the filters know this module

    fields, (path, authority, method), scheme, route = info.asked
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in fields]
    parts = [part.decode("latin-1") for part in (method, scheme, authority, path)]
    return RequestHead(parts[0], parts[1], parts[2], parts[3], headers), route
