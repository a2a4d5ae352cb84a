"""http_inspector: whether a plaintext client speaks HTTP, and which version.

Istio puts it where a port's protocol is not declared (``name: web`` instead of ``http-web``): the
filter chain for HTTP is then taken by ``application_protocols``, everything else is raw TCP.
TLS connections are left alone.

Source: Envoy ``source/extensions/filters/listener/http_inspector/http_inspector.cc``.
"""

from __future__ import annotations

import re

from mesh.sidecar.listener_filters.facts import RAW, Inspection

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_LINE = 8192
_LINE = re.compile(rb"[A-Z][A-Z\-]{0,31} [^\r\n]+ HTTP/(1\.[01])\r?\n")
_START = re.compile(rb"[A-Z][A-Z\-]{0,31}( [^\r\n]*)?\r?|")


def inspect(data: bytes, facts: Inspection) -> bool:
    """Look at the first line of ``data``; True when ``facts`` are complete."""
    if facts.transport_protocol != RAW:
        return True
    if data.startswith(HTTP2_PREFACE[:16]):
        facts.application_protocols = ("h2c",)
        return True
    if HTTP2_PREFACE.startswith(data):
        return False
    match = _LINE.match(data)
    if match is not None:
        facts.application_protocols = (f"http/{match[1].decode()}",)
        return True
    line = data[: data.find(b"\n")] if b"\n" in data else data
    return b"\n" in data or len(data) > MAX_LINE or _START.fullmatch(line) is None
