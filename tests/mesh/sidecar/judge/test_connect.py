"""CONNECT: tunnels of clients behind HTTP_PROXY, ended inside the proxy or at an endpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.sidecar.judge.h2_peers import H2Client, head

pytestmark = pytest.mark.envoy

LOGGED = ["method", "path", "authority", "protocol", "response_code", "response_flags",
          "response_code_details", "upstream_cluster", "route_name"]  # fmt: skip


def ends_connect(kit: Any, to: str) -> dict[str, Any]:
    upgrade = {"upgradeType": "CONNECT", "connectConfig": {}}
    action = {"cluster": to, "timeout": "0s", "upgradeConfigs": [upgrade]}
    return {"name": f"connect-{to}", "match": {"connectMatcher": {}}, "route": action}


def inside(name: str) -> dict[str, Any]:
    """A cluster whose endpoint is an internal listener."""
    address = {"envoyInternalAddress": {"serverListenerName": name}}
    endpoints = [{"lbEndpoints": [{"endpoint": {"address": address}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "loadAssignment": {"clusterName": name, "endpoints": endpoints},
    }


async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data.upper())
            await writer.drain()
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def tunnel(side: Any, authority: str) -> tuple[bytes, Any, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", side.port)
    writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    return answer.split(b"\r\n")[0], reader, writer


async def test_tunnels(kit: Any, folder: Path) -> None:
    raw = await asyncio.start_server(upper, "127.0.0.1", 0)
    raw_port = raw.sockets[0].getsockname()[1]
    async with kit.upstream() as up:
        hosts = [
            {"name": "web", "domains": ["web:80"], "routes": [ends_connect(kit, "inner"), kit.route("/", "web")]},
            {"name": "tcp", "domains": ["tcp:9"], "routes": [ends_connect(kit, "tcp")]},
            {"name": "off", "domains": ["off:9"], "routes": [ends_connect(kit, "off")]},
            {"name": "none", "domains": ["none:9"], "routes": [ends_connect(kit, "none")]},
            {"name": "plain", "domains": ["plain:80"], "routes": [kit.route("/", "web")]},
        ]  # fmt: skip
        table = {"name": "t", "virtualHosts": hosts, "validateClusters": False}
        clusters = [
            inside("inner"), kit.cluster("web", up.port), kit.cluster("tcp", raw_port),
            kit.cluster("off", kit.free_port()), kit.cluster("none"),
        ]  # fmt: skip
        upgrades = [{"upgradeType": "websocket"}, {"upgradeType": "CONNECT"}]
        results: dict[str, Any] = {}
        logs = {"mitmproxy": str(folder / "in-m"), "envoy": str(folder / "in-e")}

        def listeners(engine: str, port: int, log: str) -> list[dict[str, Any]]:
            inner = kit.listener("inner", 0, table, logs[engine])
            del inner["address"]
            inner["internalListener"] = {}
            return [kit.listener("out", port, table, log, upgradeConfigs=upgrades), inner]

        async with kit.both_with(folder, listeners, clusters) as sides:
            for engine, side in sides.items():
                got: list[Any] = []
                for authority in ("tcp:9", "off:9", "none:9", "plain:80", "nowhere:1"):
                    first, reader, writer = await tunnel(side, authority)
                    got.append(first)
                    if b" 200 " in first:
                        writer.write(b"hello" * 100_000)
                        got.append((await reader.readexactly(500_000)) == b"HELLO" * 100_000)
                    writer.close()
                first, reader, writer = await tunnel(side, "web:80")
                client = kit.Client(reader, writer)
                for path in ("/a", "/b"):
                    reply = await client.get(path, "web:80")
                    got.append((first, reply.status, reply.body.split(b"\r\n")[0]))
                big = b"x" * 300_000
                post = b"POST /c HTTP/1.1\r\nHost: web:80\r\nContent-Length: 300000\r\n\r\n" + big
                got.append((await client.send(post)).body.endswith(big))
                got.append((await client.get("/d", "nowhere:1")).status)
                writer.close()
                _, reader, writer = await tunnel(side, "web:80")
                second = H2Client(reader, writer)
                extra = head("/two")
                extra[2] = (":authority", "web:80")
                reply = await second.answer(second.begin(extra))
                got.append((reply.status, reply.body.split(b"\r\n")[0]))
                await second.close()
                results[engine] = (
                    got,
                    sorted(
                        tuple(str(line[key]) for key in LOGGED) for line in await side.records()
                    ),
                )
        assert results["mitmproxy"] == results["envoy"]
    raw.close()
