"""Raw TCP: how connections end, and what the log says then, is the real Envoy's."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.sidecar.judge.engines import ENGINES, Proxy, proxy
from tests.mesh.sidecar.judge.test_filter_chains import INSPECTORS, ask, chain, client_context
from tests.mesh.sidecar.judge.tls_cases import downstream, upstream
from tests.mesh.sidecar.listener_filters.test_inspectors import hello
from tests.mesh.sidecar.pki import authority, issue

TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
LOGGED = (
    "response_flags",
    "response_code",
    "protocol",
    "method",
    "upstream_transport_failure_reason",
    "bytes_received",
    "bytes_sent",
    "upstream_host",
    "upstream_cluster",
    "upstream_request_attempt_count",
    "upstream_hosts_attempted",
)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def tcp_chain(kit: Any, name: str, log: str, cluster: str = "", **more: Any) -> dict[str, Any]:
    http = kit.listener("x", 1, kit.routes(), log)["filterChains"][0]["filters"][0]["typedConfig"]
    config = {"@type": TCP, "statPrefix": name, "accessLog": http["accessLog"], **more}
    if cluster:
        config["cluster"] = cluster
    return {"filters": [{"name": "tcp", "typedConfig": config}]}


def tcp_listener(name: str, port: int, *chains: dict[str, Any], **more: Any) -> dict[str, Any]:
    address = {"socketAddress": {"address": "127.0.0.1", "portValue": port}}
    return {"name": name, "address": address, "filterChains": list(chains), **more}


def break_off(writer: asyncio.StreamWriter) -> None:
    """Reset the connection."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b"(reset)"


class Talker:
    """A server that does what the first five bytes say; else it sends back what comes."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[bytes] = asyncio.Queue()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word = await reader.read(5)
        try:
            if word == b"count":
                writer.write(str(len(await reader.read())).encode())
            elif word == b"first":
                writer.write(b"bye")
            elif word == b"half.":
                writer.write(b"half")
                writer.write_eof()
                self.seen.put_nowait(await reader.read())
            elif word == b"reset":
                break_off(writer)
            elif word == b"tell.":
                self.seen.put_nowait(word)
                self.seen.put_nowait(await read(reader))
            else:
                data = word
                while data:
                    writer.write(data)
                    data = await reader.read(65536)
        finally:
            writer.close()


@asynccontextmanager
async def talker() -> AsyncIterator[Talker]:
    made = Talker()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


async def scenarios(kit: Any, engine: str, folder: Path) -> dict[str, Any]:
    """Return what happened in each scenario, without ports."""
    log = str(folder / "access.jsonl")
    dead = kit.free_port()
    listeners = {
        "echo": ("up", {}),
        "nocluster": ("none", {}),
        "nohost": ("empty", {}),
        "refused": ("dead", {}),
        "retried": ("dead", {"maxConnectAttempts": 3}),
        "idle": ("up", {"idleTimeout": "0.1s"}),
        "over": ("one", {}),
        "badtls": ("tls", {}),
    }
    ports = {name: kit.free_port() for name in listeners}
    found: dict[str, Any] = {}
    async with talker() as server:
        tls = kit.cluster("tls", server.port)
        tls["transportSocket"] = upstream(None, authority())
        breakers = {"thresholds": [{"maxConnections": 1}]}
        clusters = [
            kit.cluster("up", server.port),
            kit.cluster("empty"),
            kit.cluster("dead", dead),
            kit.cluster("one", server.port, circuitBreakers=breakers),
            tls,
        ]
        made = [
            tcp_listener(name, ports[name], tcp_chain(kit, name, log, cluster, **more))
            for name, (cluster, more) in listeners.items()
        ]

        async with proxy(engine, kit, folder, made, clusters) as running:
            await _scenarios(running, ports, server, found)
            stats = await running.stats()
    places = {str(server.port): "UP", str(dead): "DEAD"}
    for name in ports:
        for counter in ("total", "no_route", "rx_bytes_total", "tx_bytes_total"):
            key = f"tcp.{name}.downstream_cx_{counter}"
            found[key] = stats.get(key, 0)
    found["idle_timeout"] = stats["tcp.idle.idle_timeout"]
    text = repr(found)
    for port, word in places.items():
        text = text.replace(port, word)
    return {"text": text, **found}


async def _scenarios(
    running: Proxy, ports: dict[str, int], server: Talker, found: dict[str, Any]
) -> None:
    lines = 0

    async def connect(name: str) -> Streams:
        return await asyncio.open_connection("127.0.0.1", ports[name])

    async def note(name: str, *what: Any) -> None:
        nonlocal lines
        lines += 1
        record = (await running.logs(lines))[-1]
        found[name] = (*what, {key: record[key] for key in LOGGED})

    reader, writer = await connect("echo")
    writer.write(b"count" + b"y" * 1_000_000)
    writer.write_eof()
    answer = await read(reader)
    writer.close()
    await note("client-half-closes", answer)

    for word in (b"first", b"reset"):
        reader, writer = await connect("echo")
        writer.write(word)
        answer = await read(reader)
        writer.close()
        await note(f"server-{word.decode()}", answer)

    reader, writer = await connect("echo")
    writer.write(b"half.")
    answer = await read(reader)
    writer.write(b"more")
    writer.close()
    await note("server-half-closes", answer, await server.seen.get())

    for name, end in (("closes", asyncio.StreamWriter.close), ("resets", break_off)):
        reader, writer = await connect("echo")
        writer.write(b"echo!")
        assert await reader.readexactly(5) == b"echo!"
        end(writer)
        await note(f"client-{name}")
    _, writer = await connect("echo")
    writer.write(b"tell.")
    await server.seen.get()
    break_off(writer)
    await note("server-learns-of-the-reset", await server.seen.get())

    for name in ("nocluster", "nohost", "refused", "retried", "badtls", "idle"):
        reader, writer = await connect(name)
        if name == "idle":
            writer.write(b"echo!")
        answer = await read(reader)
        writer.close()
        await note(name, answer)

    reader, writer = await connect("over")
    writer.write(b"echo!")
    await reader.readexactly(5)
    second, closed = await connect("over")
    answer = await read(second)
    closed.close()
    await note("overflow", answer)
    writer.close()
    await note("overflow-first")
    reader, writer = await connect("over")  # its place is free again
    writer.write(b"first")
    answer = await read(reader)
    writer.close()
    await note("after-overflow", answer)


@pytest.mark.envoy
async def test_connections_end_alike(kit: Any, folder: Path) -> None:
    results = {}
    for engine in ENGINES:
        (folder / engine).mkdir()
        results[engine] = await scenarios(kit, engine, folder / engine)
    envoy, own = results["envoy"], results["mitmproxy"]
    assert own["client-half-closes"][0] == b"1000000"
    assert own["server-half-closes"][:2] == (b"half", b"more")
    assert own["text"] == envoy["text"]


@pytest.mark.envoy
@pytest.mark.parametrize("engine", ENGINES)
async def test_server_names_choose_the_cluster_unopened(
    engine: str, kit: Any, folder: Path
) -> None:
    """TLS passes through: the certificate is the server's own."""
    port = kit.free_port()
    log = str(folder / "access.jsonl")
    inner = {name: kit.free_port() for name in ("a", "b")}
    listeners, clusters, chains = [], [], []
    for name in inner:
        pair = issue(name, [f"{name}.test"], authority())
        listeners.append(tcp_listener(name, inner[name], chain(kit, name, downstream(pair))))
        clusters.append(kit.cluster(name, inner[name]))
        sni = tcp_chain(kit, name, log, name)
        sni["filterChainMatch"] = {"serverNames": [f"{name}.test"]}
        chains.append(sni)
    listeners.append(tcp_listener("sni", port, *chains, listenerFilters=INSPECTORS[:1]))
    context = client_context()
    context.check_hostname = True
    async with proxy(engine, kit, folder, listeners, clusters) as running:
        assert await ask(port, context, "a.test") == "a"
        assert await ask(port, context, "b.test") == "b"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(hello("c.test", []))
        assert await read(reader) in (b"", b"(reset)")
        writer.close()
        records = await running.logs(2)
    assert [record["requested_server_name"] for record in records] == ["a.test", "b.test"]


@pytest.mark.envoy
@pytest.mark.parametrize("engine", ENGINES)
async def test_weights(engine: str, kit: Any, folder: Path) -> None:
    log = str(folder / "access.jsonl")
    port = kit.free_port()
    weights = [{"name": "a", "weight": 1}, {"name": "b", "weight": 3}]
    async with talker() as one, talker() as two:
        clusters = [kit.cluster("a", one.port), kit.cluster("b", two.port)]
        weighted = tcp_chain(kit, "w", log, weightedClusters={"clusters": weights})
        listeners = [tcp_listener("w", port, weighted)]
        async with proxy(engine, kit, folder, listeners, clusters) as running:
            for _ in range(100):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"first")
                assert await read(reader) == b"bye"
                writer.close()
            records = await running.logs(100)
    share = sum(record["upstream_cluster"] == "b" for record in records)
    assert 50 <= share <= 95  # 75 +- 5.7 standard deviations
