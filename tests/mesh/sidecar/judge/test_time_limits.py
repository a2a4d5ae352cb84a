"""The time limits of an HTTP connection manager, as the real Envoy keeps them.

Each limit is short and what it waits for never comes, so a slow machine changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.sidecar.judge.engines import ENGINES, Proxy, proxy

pytestmark = pytest.mark.envoy

SHORT = "0.1s"
LIMITS: dict[str, dict[str, Any]] = {
    "request": {"requestTimeout": SHORT},
    "headers": {"requestHeadersTimeout": SHORT},
    "stream": {"streamIdleTimeout": SHORT},
    "idle": {"commonHttpProtocolOptions": {"idleTimeout": SHORT}},
    "duration": {"commonHttpProtocolOptions": {"maxStreamDuration": SHORT}},
    "connection": {
        "commonHttpProtocolOptions": {"maxConnectionDuration": SHORT},
        "drainTimeout": SHORT,
    },
}
ROUTES: dict[str, dict[str, Any]] = {
    "/route-idle": {"idleTimeout": SHORT},
    "/route-duration": {"maxStreamDuration": {"maxStreamDuration": SHORT}},
    "/": {},
}
HEAD = "GET {} HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
HALF_BODY = "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"
COUNTED = ("downstream_cx_idle_timeout", "downstream_rq_timeout", "downstream_rq_header_timeout",
           "downstream_rq_idle_timeout", "downstream_rq_max_duration_reached",
           "downstream_cx_max_duration_reached")  # fmt: skip
LOGGED = ("response_code", "response_flags", "response_code_details", "method", "bytes_received")


class Upstream:
    """Answers at once, but for ``/hold``: never, and ``/half``: with half a body."""

    def __init__(self) -> None:
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ")[1]
                if path == b"/hold" or path.startswith(b"/route"):
                    await reader.read()
                    return
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
                writer.write(b"ok" if path == b"/half" else b"okay")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def upstream() -> AsyncIterator[int]:
    server = await asyncio.start_server(Upstream().serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def to_the_end(port: int, data: str) -> str:
    """Send, then read until the proxy closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data.encode())
    try:
        answer = (await reader.read()).decode()
    except ConnectionResetError:
        answer = "(reset)"
    writer.close()
    kept = [
        line
        for line in answer.split("\r\n")
        if not line.startswith(("date:", "x-request-id:", "x-envoy-upstream-service-time:"))
    ]
    return "\r\n".join(kept)


async def observe(engine: str, kit: Any, folder: Path) -> dict[str, Any]:
    log = str(folder / "access.jsonl")
    ports = {name: kit.free_port() for name in LIMITS}
    found: dict[str, Any] = {}
    async with upstream() as there:
        table = kit.routes(*(kit.route(path, "up", **more) for path, more in ROUTES.items()))
        made = [
            kit.listener(name, ports[name], table, log, **more) for name, more in LIMITS.items()
        ]
        async with proxy(engine, kit, folder, made, [kit.cluster("up", there)]) as running:
            await scenarios(running, ports, found)
            stats = await running.stats()
    for name in LIMITS:
        for counter in COUNTED:
            found[f"{name} {counter}"] = stats.get(f"http.{name}.{counter}", 0)
    return found


async def scenarios(running: Proxy, ports: dict[str, int], found: dict[str, Any]) -> None:
    lines = 0

    async def note(name: str, port: str, data: str, more: int = 1) -> None:
        nonlocal lines
        lines += more
        answer = await to_the_end(ports[port], data)
        records = (await running.logs(lines))[lines - more :]
        found[name] = answer, [{key: each[key] for key in LOGGED} for each in records]

    await note("half a body", "request", HALF_BODY)
    await note("half a head", "headers", "GET / HTTP/1.1\r\nHost: a\r\n")
    await note("half a second head", "headers", HEAD.format("/") + "GET /", 2)
    await note("no answer", "stream", LAST.format("/hold"))
    await note("half an answer", "stream", LAST.format("/half"))
    await note("half a body for long", "stream", HALF_BODY)
    await note("nothing at all", "idle", "", 0)
    await note("nothing more", "idle", HEAD.format("/"))
    await note("a long request", "duration", LAST.format("/hold"))
    await note("a long answer", "duration", LAST.format("/half"))
    await note("an old connection", "connection", HEAD.format("/"))
    await note("an old connection without a request", "connection", "", 0)
    await note("the route's idle timeout", "headers", LAST.format("/route-idle"))
    await note("the route's duration", "headers", LAST.format("/route-duration"))


async def test_time_limits(kit: Any, tmp_path: Path) -> None:
    seen = {}
    for engine in ENGINES:
        folder = tmp_path / engine
        folder.mkdir()
        seen[engine] = await observe(engine, kit, folder)
    different = {
        name: (seen["envoy"][name], seen["mitmproxy"][name])
        for name in seen["envoy"]
        if seen["envoy"][name] != seen["mitmproxy"][name]
    }
    assert different == {}
    envoy = seen["envoy"]
    assert envoy["half a body"][0].startswith("HTTP/1.1 408 Request Timeout")
    assert envoy["half a head"][0].startswith("HTTP/1.1 408 Request Timeout")
    assert envoy["no answer"][1][0]["response_flags"] == "SI"
    assert envoy["nothing at all"][0] == ""
    assert envoy["nothing more"][0].endswith("okay")
    assert envoy["idle downstream_cx_idle_timeout"] == 2
    assert envoy["connection downstream_cx_max_duration_reached"] == 2
