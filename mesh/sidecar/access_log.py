"""The access log: executes the ``json_format`` of Envoy's file access logger.

In a real mesh ``meshConfig.accessLogFile`` and a Telemetry resource turn it on.  The control
plane sends the format with every listener; the operators are compiled once, a line is written
for each request when it ends.  See it with ``meshctl logs POD``.

Source: Envoy, "Access logging" (configuration/observability/access_log/usage).  As in Envoy, keys
are sorted, an absent string is null, and lines are buffered: ``POST /reopen_logs`` writes them out.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.google.protobuf import Struct, Value
from mitmproxy.http import Headers

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.start_time import start_time
from mesh.sidecar.stream_info import StreamInfo

FLUSH_BYTES = 64 * 1024
_OPERATOR = re.compile(r"%([A-Z_0-9]+)(?:\(([^)]*)\))?(?::(\d+))?%")
_encode = json.JSONEncoder(separators=(",", ":")).encode


class LogContext:
    """What one line is made of: the request as the upstream saw it, the answer, the facts."""

    __slots__ = ("info", "request", "response")

    def __init__(
        self, info: StreamInfo, request: dict[bytes, bytes], response: Headers | None
    ) -> None:
        self.info = info
        self.request = request
        self.response: dict[bytes, bytes] = {}
        if response is not None:
            self.response = dict(reversed(response.fields))


Operator = Callable[[LogContext], Any]


_SIMPLE: dict[str, Operator] = {
    "PROTOCOL": lambda c: c.info.protocol or None,
    "RESPONSE_CODE": lambda c: c.info.response_code,
    "RESPONSE_FLAGS": lambda c: c.info.flags_text(),
    "RESPONSE_CODE_DETAILS": lambda c: c.info.details or None,
    "CONNECTION_TERMINATION_DETAILS": lambda c: c.info.connection_termination_details or None,
    "UPSTREAM_TRANSPORT_FAILURE_REASON": lambda c: c.info.upstream_transport_failure_reason or None,
    "BYTES_RECEIVED": lambda c: c.info.bytes_received,
    "BYTES_SENT": lambda c: c.info.bytes_sent,
    "DURATION": lambda c: int((c.info.ended - c.info.started) * 1000),
    "UPSTREAM_HOST": lambda c: c.info.upstream_host or None,
    "UPSTREAM_CLUSTER": lambda c: c.info.cluster or None,
    "UPSTREAM_CLUSTER_RAW": lambda c: c.info.cluster or None,
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": lambda c: c.info.attempts,
    "UPSTREAM_HOSTS_ATTEMPTED": lambda c: ",".join(c.info.hosts_attempted) or None,
    "DOWNSTREAM_REMOTE_ADDRESS": lambda c: c.info.downstream_remote_address or None,
    "DOWNSTREAM_PEER_URI_SAN": lambda c: c.info.downstream_peer_uri_san or None,
    "REQUESTED_SERVER_NAME": lambda c: c.info.requested_server_name or None,
    "ROUTE_NAME": lambda c: c.info.route_name or None,
    "TRACE_ID": lambda c: c.info.span.trace_id if c.info.span is not None else None,
}


def _start_time(pattern: str) -> Operator:
    return lambda context: start_time(context.info.start, pattern)


def _header(side: str, argument: str, length: int | None) -> Operator:
    names = [name.strip().lower().encode() for name in argument.split("?")]

    def read(context: LogContext) -> str | None:
        fields = context.request if side == "REQ" else context.response
        for name in names:
            value = fields.get(name)
            if value is not None:
                return value.decode("latin-1")[:length]
        return None

    return read


def _metadata(argument: str) -> Operator:
    """``NAMESPACE:KEY`` of the dynamic metadata; absent is null, as in Envoy."""
    namespace, _, key = argument.partition(":")
    return lambda context: context.info.metadata.get(namespace, {}).get(key)


def compile_operator(text: str) -> Operator:
    """Compile one value of a JSON format; a value that is one operator keeps its type.

    Raises ConfigRefusedError for an operator that the sidecar does not have.
    """
    parts: list[str | Operator] = []
    end = 0
    for match in _OPERATOR.finditer(text):
        if match.start() > end:
            parts.append(text[end : match.start()])
        end = match.end()
        name, argument, length = match.groups()
        if name in ("REQ", "RESP") and argument:
            parts.append(_header(name, argument, int(length) if length else None))
        elif name == "START_TIME":
            parts.append(_start_time(argument or ""))
        elif name == "DYNAMIC_METADATA" and argument:
            parts.append(_metadata(argument))
        elif name in _SIMPLE:
            parts.append(_SIMPLE[name])
        else:
            raise ConfigRefusedError(f"access log: unknown command operator {match[0]}")
    if end < len(text):
        parts.append(text[end:])
    if len(parts) == 1 and not isinstance(parts[0], str):
        return parts[0]
    if all(isinstance(part, str) for part in parts):
        return lambda _context: text

    def join(context: LogContext) -> str:
        texts = []
        for part in parts:
            value = part if isinstance(part, str) else part(context)
            texts.append("-" if value is None else str(value))
        return "".join(texts)

    return join


def _compile_value(value: Value) -> Operator:
    if value.string_value is not None:
        return compile_operator(value.string_value)
    if value.struct_value is not None:
        inner = _compile_struct(value.struct_value)
        return lambda context: {key: operator(context) for key, operator in inner}
    fixed: Any = value.bool_value if value.bool_value is not None else value.number_value
    return lambda _context: fixed


def _compile_struct(struct: Struct) -> list[tuple[str, Operator]]:
    return [(key, _compile_value(struct.fields[key])) for key in sorted(struct.fields)]


class LogFile:
    """A file that lines are appended to, in batches.  Opened at the first write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[str] = []
        self._size = 0
        self._descriptor: int | None = None

    def write(self, line: str) -> None:
        """Add ``line``; it reaches the file at the next flush."""
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Append what is buffered, by one write."""
        if not self._lines:
            return
        data = ("\n".join(self._lines) + "\n").encode()
        self._lines.clear()
        self._size = 0
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o644)
        while data:
            data = data[os.write(self._descriptor, data) :]

    def reopen(self) -> None:
        """Flush, then let the next write open the file again (after a rotation)."""
        self.flush()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class LogFiles:
    """The open log files of a sidecar, one per path."""

    def __init__(self) -> None:
        self._files: dict[str, LogFile] = {}

    def get(self, path: str) -> LogFile:
        """Return the file at ``path``."""
        return self._files.setdefault(path, LogFile(Path(path)))

    def flush(self) -> None:
        """Write everything out."""
        for file in self._files.values():
            file.flush()

    def reopen(self) -> None:
        """Write everything out and open the files anew."""
        for file in self._files.values():
            file.reopen()


class AccessLogger:
    """One configured access log."""

    def __init__(self, config: FileAccessLog, files: LogFiles) -> None:
        struct = config.log_format.json_format if config.log_format else config.json_format
        if not config.path or struct is None:
            raise ConfigRefusedError("access log: a path and log_format.json_format are needed")
        self._operators = _compile_struct(struct)
        self._file = files.get(config.path)

    def log(self, context: LogContext) -> None:
        """Write the line of one finished request."""
        self._file.write(_encode({key: operator(context) for key, operator in self._operators}))
