"""TLS between two proxies: every pair of engines behaves like two Envoys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.mesh.sidecar.judge.engines import ENGINES, proxy
from tests.mesh.sidecar.judge.tls_cases import cases

pytestmark = pytest.mark.envoy

_SECRETS = ("response_flags", "response_code_details", "upstream_transport_failure_reason")
XFCC = "x-forwarded-client-cert"


async def _run(
    kit: Any, folder: Path, client_engine: str, server_engine: str
) -> dict[str, tuple[Any, ...]]:
    """Run every case; return by its name what client, server and application saw."""
    found: dict[str, tuple[Any, ...]] = {}
    servers, clusters, routes = [], [], []
    ports: dict[str, int] = {}
    folders = [folder / f"{client_engine}-{server_engine}-{side}" for side in ("c", "s")]
    for each in folders:
        each.mkdir()
    async with kit.upstream() as application:
        for name, (server_socket, client_socket) in cases().items():
            ports[name] = kit.free_port()
            details = {"subject": True, "uri": True, "dns": True}
            listener = kit.listener(
                name,
                ports[name],
                kit.routes(kit.route("/", "app")),
                str(folders[1] / "access.jsonl"),
                forwardClientCertDetails="APPEND_FORWARD",
                setCurrentClientCertDetails=details,
            )
            if server_socket is not None:
                listener["filterChains"][0]["transportSocket"] = server_socket
            servers.append(listener)
            cluster = kit.cluster(name, ports[name])
            if client_socket is not None:
                cluster["transportSocket"] = client_socket
            clusters.append(cluster)
            routes.append(kit.route(f"/{name}/", name))
        port = kit.free_port()
        table = kit.routes(*routes)
        outbound = kit.listener("out", port, table, str(folders[0] / "access.jsonl"))
        app = kit.cluster("app", application.port)
        async with (
            proxy(server_engine, kit, folders[1], servers, [app]) as server,
            proxy(client_engine, kit, folders[0], [outbound], clusters) as client,
        ):
            connection = await kit.Client.connect(port)
            for number, name in enumerate(cases(), 1):
                seen = len(application.heads)
                reply = await connection.get(f"/{name}/", extra=f"{XFCC}: forged\r\n")
                record = (await client.logs(number))[-1]
                heads = [
                    line
                    for head in application.heads[seen:]
                    for line in head.split("\r\n")
                    if line.startswith((XFCC, "x-forwarded-proto"))
                ]
                body = reply.body if reply.status != 200 else b""
                found[name] = (reply.status, body, heads, *(record[key] for key in _SECRETS))
            connection.close()
            stats = await server.stats()
            for name, port in ports.items():
                prefix = f"listener.127.0.0.1_{port}.ssl."
                counted = [
                    stats.get(prefix + key, 0)
                    for key in (
                        "handshake",
                        "connection_error",
                        "fail_verify_error",
                        "fail_verify_san",
                        "fail_verify_no_cert",
                    )
                ]
                found[name] += (counted,)
            peers = [line["downstream_peer_uri_san"] for line in await server.logs(5)]
            found["peers"] = tuple(peers)
    return found


async def test_both_engines_shake_hands_alike(kit: Any, folder: Path) -> None:
    wanted = await _run(kit, folder, "envoy", "envoy")
    assert wanted["mutual"][0] == 200
    assert wanted["plaintext-to-strict"][3] == "UC"
    different = []
    for client in ENGINES:
        for server in ENGINES:
            if (client, server) == ("envoy", "envoy"):
                continue
            found = await _run(kit, folder, client, server)
            different += [
                (client, server, name, found[name], wanted[name])
                for name in wanted
                if found[name] != wanted[name]
            ]
    assert not different, "\n".join(map(str, different))
