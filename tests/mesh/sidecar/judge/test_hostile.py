"""The same bad bytes to the sidecar and to the real Envoy: same answer, same end, next one unharmed.

The cases are data: ``hostile_clients.yaml``, ``hostile_upstreams.yaml``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.envoy

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HIDDEN = {"date", "x-request-id", "x-envoy-upstream-service-time"}
LOGGED = [
    "method", "path", "authority", "protocol", "response_code", "response_flags",
    "response_code_details", "bytes_received", "bytes_sent", "upstream_request_attempt_count",
    "upstream_transport_failure_reason", "connection_termination_details", "route_name",
    "x_forwarded_for",
]  # fmt: skip


def cases(name: str) -> dict[str, Any]:
    return yaml.safe_load(Path(__file__).with_name(name).read_text())


def raw(step: Any) -> bytes:
    """The bytes of a step."""
    if isinstance(step, str):
        return step.encode("latin-1")
    if "join" in step:
        return b"".join(map(raw, step["join"]))
    if "chunks" in step:
        return (b"%x\r\n%b\r\n" % (step["of"], b"a" * step["of"])) * step["chunks"]
    return raw(step["of"]) * step["times"]


async def read_answer(reader: asyncio.StreamReader, nobody: bool = False) -> Any:
    """An answer in a form to compare: first line, headers, body, and whether it was cut."""
    body, headers, first = b"", [], ""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = sorted(line for line in lines if line.split(":")[0] not in HIDDEN)
        fields = dict(line.split(": ", 1) for line in lines)
        status = int(first.split()[1])
        if nobody or status < 200 or status in (204, 304):
            pass
        elif "content-length" in fields:
            body = await reader.readexactly(int(fields["content-length"]))
        elif fields.get("transfer-encoding") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readuntil(b"\r\n")
        else:
            body = await reader.read()
    except (asyncio.IncompleteReadError, ConnectionError):
        # How much of a cut body gets through depends on when the cut is noticed.
        return (first, headers, "cut") if first else "closed"
    return first, headers, body


class Upstream:
    """Answers ``/case-N`` with the steps of case N, all else with 200; remembers what it got."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers = answers
        self.seen: list[Any] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            pass  # the test ends
        finally:
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        target = first.split(" ")[1].partition("/case-")[2]
        fields = {line.split(": ")[0]: line.partition(": ")[2] for line in lines}
        if target.isdigit():
            return await self.misbehave(self.answers[int(target)], reader, writer)
        body = b""
        if "content-length" in fields:
            body = await reader.readexactly(int(fields["content-length"]))
        elif fields.get("transfer-encoding") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readuntil(b"\r\n")
        shown = sorted(line[:80] for line in lines if not line.startswith("x-request-id"))
        self.seen.append((first, shown, body))
        writer.write(OK)
        return True

    async def misbehave(
        self, steps: list[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        for step in steps:
            if step == "close":
                return False
            if step == "reset":
                await writer.drain()
                linger = struct.pack("ii", 1, 0)
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
                return False
            if step == "hang":
                await reader.read()
                return False
            writer.write(raw(step))
            await writer.drain()
            await asyncio.sleep(0)
        return True


async def marker(side: Any) -> None:
    """Another client is served, whatever went before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", side.port)
    writer.write(b"GET /marker HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await read_answer(reader))[2] == b"ok"
    writer.close()


async def talk(side: Any, steps: list[Any]) -> list[Any]:
    """Run the steps of a client; return the answers, and how the connection went on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", side.port)
    got: list[Any] = []
    for step in steps:
        if step == "read":
            got.append(await read_answer(reader))
        elif step == "end":
            writer.write_eof()
        elif step != "nobody":
            writer.write(raw(step))
    got.append(await read_answer(reader, "nobody" in steps))
    if "end" in steps:
        try:
            got.append(await reader.read())
        except ConnectionError:
            got.append(b"")
    elif got[-1] != "closed":
        got.append(await after(reader, writer))
    writer.close()
    return got


async def after(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
    """The next request on the connection: its first line, or that the connection is closed."""
    writer.write(b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = await read_answer(reader)
    return answer if isinstance(answer, str) else answer[0]


def grouped(records: list[dict[str, Any]], count: int) -> list[Any]:
    """The log lines of each case: those before its marker."""
    groups: list[Any] = [[]]
    for record in records:
        if record["path"] == "/marker":
            groups.append([])
        else:
            groups[-1].append({key: record[key] for key in LOGGED})
    assert len(groups) == count + 1
    return groups


def judge(table: dict[str, Any], results: dict[str, list[Any]]) -> None:
    """Equal on both engines, or a known difference: then the sidecar refuses."""
    wrong = []
    for name, ours, theirs in zip(table, results["mitmproxy"], results["envoy"], strict=True):
        known = table[name].get("known")
        if (ours != theirs) != bool(known):
            wrong.append(f"{name} ({known or 'has to be equal'})\n  {ours}\n  {theirs}")
        elif known and ours[0][0][0].split()[1] not in ("400", "502", "503"):
            wrong.append(f"{name}: not refused: {ours}")
    assert not wrong, "\n".join(wrong)


async def test_hostile_clients(kit: Any, folder: Path) -> None:
    table = cases("hostile_clients.yaml")
    upstream = Upstream([])
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    entries, clusters = [kit.route("/", "up")], [kit.cluster("up", port)]
    host = {"includeRequestAttemptCount": True}
    more = {"upgradeConfigs": [{"upgradeType": "websocket"}], "delayedCloseTimeout": "0s"}
    results: dict[str, list[Any]] = {}
    async with kit.both(folder, entries, clusters, host, **more) as sides:
        for engine, side in sides.items():
            results[engine] = []
            for case in table.values():
                upstream.seen.clear()
                got = await talk(side, case["steps"])
                await marker(side)
                results[engine].append((got, upstream.seen[:-1]))
            logged = grouped(await side.records(), len(table))
            results[engine] = list(zip(results[engine], logged, strict=False))
    server.close()
    judge(table, {name: [(*a, b) for a, b in each] for name, each in results.items()})


async def test_hostile_upstreams(kit: Any, folder: Path) -> None:
    table = cases("hostile_upstreams.yaml")
    upstream = Upstream([case["steps"] for case in table.values()])
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    entries, clusters = [kit.route("/", "up")], [kit.cluster("up", port)]
    results: dict[str, list[Any]] = {}
    async with kit.both(folder, entries, clusters, delayedCloseTimeout="0s") as sides:
        for engine, side in sides.items():
            results[engine] = []
            for number, case in enumerate(table.values()):
                results[engine].append(await ask(side, number, case.get("method", "GET")))
                await marker(side)
            logged = grouped(await side.records(), len(table))
            results[engine] = list(zip(results[engine], logged, strict=False))
    server.close()
    judge(table, results)


async def ask(side: Any, number: int, method: str) -> list[Any]:
    """Ask for case ``number``; a ``cut`` request never sends all of its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", side.port)
    verb, body = (
        (b"POST", b"Content-Length: 10\r\n\r\nabc")
        if method == "cut"
        else (method.encode(), b"\r\n")
    )
    writer.write(b"%b /case-%d HTTP/1.1\r\nHost: a\r\n%b" % (verb, number, body))
    got: list[Any] = [await read_answer(reader, method == "HEAD")]
    if got[-1] != "closed":
        got.append(await after(reader, writer))
    writer.close()
    return got
