"""HTTP/2 in and out, with gRPC's trailers and local answers: the sidecar and Envoy alike."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.sidecar.judge.h2_peers import Call, H2Client, Pairs, h2_upstream, head

pytestmark = pytest.mark.envoy

HIDDEN = {"date", "x-request-id", "x-envoy-upstream-service-time"}
GRPC = [("content-type", "application/grpc"), ("te", "trailers")]
LOGGED = [
    "method", "path", "protocol", "response_code", "response_flags", "response_code_details",
    "bytes_received", "bytes_sent", "upstream_request_attempt_count",
]  # fmt: skip
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def options(kit: Any, **config: Any) -> dict[str, Any]:
    return {"typedExtensionProtocolOptions": {OPTIONS: {"@type": kit.TYPE + OPTIONS, **config}}}


def h2(kit: Any) -> dict[str, Any]:
    return options(kit, explicitHttpConfig={"http2ProtocolOptions": {}})


async def answer(call: Call) -> None:
    """What the HTTP/2 upstream does, by path."""
    fields = dict(call.headers)
    path = fields[":path"]
    if path == "/trailers":
        call.respond(
            [(":status", "200"), ("x-up", "1")], b"hello", [("grpc-status", "0"), ("x-t", "2")]
        )
    elif path == "/trailers-only":
        call.respond(
            [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5")], None
        )
    elif path == "/unavailable":
        call.respond(
            [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "14")], None
        )
    elif path == "/empty":
        call.respond([(":status", "200")], b"")
    elif fields[":method"] == "HEAD":
        call.respond([(":status", "200"), ("content-length", "7")], None)
    elif path == "/204":
        call.respond([(":status", "204")], None)
    elif path == "/refuse":
        call.h2.reset_stream(call.number, 7)
        call.flush()
    elif path == "/reset":
        call.h2.reset_stream(call.number, 2)
        call.flush()
    elif path == "/reset-later":
        call.h2.send_headers(call.number, [(":status", "200"), ("content-length", "10")])
        call.h2.send_data(call.number, b"abc")
        call.flush()
        call.h2.reset_stream(call.number, 2)
        call.flush()
    elif path == "/close":
        call.writer.close()
    elif path == "/goaway":
        call.respond([(":status", "200")], b"bye")
        call.h2.close_connection()
        call.flush()
    else:
        shown = sorted(item for item in call.headers if item[0] != "x-request-id")
        text = repr((shown, len(call.body), call.trailers)).encode()
        call.respond([(":status", "200"), ("content-length", str(len(text)))], text)


CASES: dict[str, tuple[Pairs, bytes | None, Pairs | None]] = {
    "get": (head("/"), None, None),
    "cookies": (head("/", extra=[("cookie", "a=1"), ("cookie", "b=2")]), None, None),
    "post": (head("/", "POST"), b"x" * 100_000, None),
    "post with length": (head("/", "POST", [("content-length", "5")]), b"hello", None),
    "request trailers": (head("/", "POST", GRPC), b"hello", [("x-t", "1")]),
    "head": (head("/", "HEAD"), None, None),
    "trailers": (head("/trailers", "POST", GRPC), b"hello", None),
    "trailers only": (head("/trailers-only", "POST", GRPC), b"hello", None),
    "retried by status": (head("/unavailable", "POST", GRPC), b"hello", None),
    "empty": (head("/empty"), None, None),
    "204": (head("/204"), None, None),
    "refused stream": (head("/refuse"), None, None),
    "reset": (head("/reset"), None, None),
    "reset of a call": (head("/reset", "POST", GRPC), b"hello", None),
    "closed": (head("/close"), None, None),
    "closed for a call": (head("/close", "POST", GRPC), b"hello", None),
    "goaway": (head("/goaway"), None, None),
    "no route": (head("/none"), None, None),
    "no route for a call": (head("/none", "POST", GRPC), b"hello", None),
    "no cluster for a call": (head("/nc", "POST", GRPC), b"hello", None),
    "direct response for a call": (head("/direct", "POST", GRPC), b"hello", None),
    "direct response": (head("/direct"), None, None),
    "redirect for a call": (head("/redirect", "POST", GRPC), b"hello", None),
    "expect": (head("/", "POST", [("expect", "100-continue")]), b"hello", None),
    "timeout of a call": (head("/slow", "POST", GRPC), b"hello", None),
}  # fmt: skip


async def call_of(client: H2Client, case: tuple[Pairs, bytes | None, Pairs | None]) -> Any:
    headers, body, trailers = case
    number = client.begin(headers, end=body is None)
    if body is not None:
        await client.send(number, body)
        client.end(number, trailers)
    return (await client.answer(number)).shown(HIDDEN)


def routes_of(kit: Any) -> list[dict[str, Any]]:
    grpc = {"retryOn": "unavailable,refused-stream", "numRetries": 2}
    return [
        kit.route("/unavailable", "up", retryPolicy=grpc),
        kit.route("/refuse", "up", retryPolicy=grpc),
        kit.route("/nc", "missing"),
        kit.route("/slow", "slow", timeout="0.05s"),
        {"match": {"path": "/none"}, "directResponse": {"status": 404}},
        {"match": {"prefix": "/direct"}, "directResponse": {"status": 429, "body": {"inlineString": "sl ow%"}}},
        {"match": {"prefix": "/redirect"}, "redirect": {"pathRedirect": "/x"}},
        kit.route("/", "up"),
    ]  # fmt: skip


def shown(records: list[dict[str, Any]]) -> list[Any]:
    return [tuple(record[key] for key in LOGGED) for record in records]


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.read(-1)
    except asyncio.CancelledError:
        pass
    finally:
        writer.close()


async def test_streams_and_calls(kit: Any, folder: Path) -> None:
    slow = await asyncio.start_server(never, "127.0.0.1", 0)
    port = slow.sockets[0].getsockname()[1]
    async with h2_upstream(answer) as up:
        clusters = [kit.cluster("up", up.port, **h2(kit)), kit.cluster("slow", port, **h2(kit))]
        results: dict[str, Any] = {}
        async with kit.both(folder, routes_of(kit), clusters) as sides:
            for engine, side in sides.items():
                client = await H2Client.connect(side.port)
                results[engine] = {
                    name: await call_of(client, case) for name, case in CASES.items()
                }
                records = await side.records()
                for name, line in zip(CASES, shown(records), strict=True):
                    results[engine][name] = (*results[engine][name], line)
                await client.close()
        different = {
            name: (results["mitmproxy"][name], results["envoy"][name])
            for name in CASES
            if results["mitmproxy"][name] != results["envoy"][name]
        }
        assert not different, "\n".join(f"{k}\n  {a}\n  {b}" for k, (a, b) in different.items())
    slow.close()


async def test_between_the_versions(kit: Any, folder: Path) -> None:
    """HTTP/1.1 in and HTTP/2 out, and the other way; also the client's own version."""
    same = options(
        kit, useDownstreamProtocolConfig={"httpProtocolOptions": {}, "http2ProtocolOptions": {}}
    )
    async with h2_upstream(answer) as two, kit.upstream() as one:
        clusters = [
            kit.cluster("two", two.port, **h2(kit)),
            kit.cluster("one", one.port),
            kit.cluster("same", two.port, **same),
        ]
        entries = [kit.route("/one", "one"), kit.route("/same", "same"), kit.route("/", "two")]
        results: dict[str, Any] = {}
        async with kit.both(folder, entries, clusters) as sides:
            for engine, side in sides.items():
                got: list[Any] = []
                client = await kit.Client.connect(side.port)
                for path in ("/", "/trailers", "/trailers-only", "/empty", "/204", "/reset"):
                    reply = await client.get(path)
                    fields = {k: v for k, v in reply.headers.items() if k not in HIDDEN}
                    got.append((reply.status, fields, reply.body))
                head_only = await client.send(b"HEAD /empty HTTP/1.1\r\nHost: a\r\n\r\n", True)
                got.append(sorted(set(head_only.headers) - HIDDEN))
                body = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
                got.append((await client.send(body)).body)
                cut = await kit.Client.connect(side.port)
                cut.writer.write(b"GET /reset-later HTTP/1.1\r\nHost: a\r\n\r\n")
                got.append((await cut.reader.read()).endswith(b"abcdefghij"))
                cut.close()
                client.close()
                second = await H2Client.connect(side.port)
                reply = await second.get(
                    "/one", extra=[("te", "trailers"), ("cookie", "a=1"), ("cookie", "b=2")]
                )
                lines = [
                    x for x in reply.body.decode().split("\r\n") if not x.startswith("x-request-id")
                ]
                got.append(sorted(lines))
                number = second.begin(head("/one", "POST"), end=False)
                await second.send(number, b"x" * 50_000)
                second.end(number, [("x-t", "1")])
                got.append((await second.answer(number)).body[-10:])
                got.append((await second.get("/same")).shown(HIDDEN))
                await second.close()
                results[engine] = got
        for ours, theirs in zip(results["mitmproxy"], results["envoy"], strict=True):
            assert ours == theirs


async def test_many_streams_share_a_connection_and_none_waits_for_another(
    kit: Any, folder: Path
) -> None:
    """A large answer that its client does not read does not hold up the others."""
    gate = asyncio.Event()

    async def handler(call: Call) -> None:
        if dict(call.headers)[":path"] == "/held":
            await gate.wait()
        await answer(call)

    async with h2_upstream(answer) as up:
        clusters = [kit.cluster("up", up.port, **h2(kit))]
        async with kit.running(folder, [kit.route("/", "up")], clusters) as mesh:
            client = await H2Client.connect(mesh.port)
            numbers = [client.begin(head(f"/{n}")) for n in range(100)]
            answers = [await client.answer(number) for number in numbers]
            assert {each.status for each in answers} == {"200"}
            assert up.connections == 1
            # 1 MB up: more than any window, so the windows have to be opened on the way.
            number = client.begin(head("/", "POST"), end=False)
            await client.send(number, b"x" * 1_000_000)
            client.end(number)
            assert b"1000000" in (await client.answer(number)).body
            await client.close()


async def test_flow_control_holds_the_upstream_back(kit: Any, folder: Path) -> None:
    """What a client does not read is not collected: the upstream has to wait."""
    sent = 0
    full = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.set_write_buffer_limits(high=65536)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
            for _ in range(500):
                writer.write(b"a" * 100_000)
                waiting = asyncio.ensure_future(writer.drain())
                await asyncio.sleep(0)
                if not waiting.done() and sent > 300_000:
                    full.set()
                await waiting
                sent += 100_000
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with kit.running(folder, [kit.route("/", "up")], [kit.cluster("up", port)]) as mesh:
        client = await H2Client.connect(mesh.port)
        client.h2.acknowledge_received_data = lambda *_: None  # type: ignore[method-assign]
        client.begin(head("/"))
        await full.wait()
        other = await H2Client.connect(mesh.port)
        assert (await other.get("/", "HEAD")).status == "200"
        assert sent < 20_000_000
        await other.close()
        await client.close()
    server.close()
