"""One port, several filter chains: PERMISSIVE, STRICT, a certificate for each name."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.sidecar.judge.engines import ENGINES, proxy
from tests.mesh.sidecar.judge.tls_cases import downstream
from tests.mesh.sidecar.pki import authority, issue, workload

LISTENER = "type.googleapis.com/envoy.extensions.filters.listener."
INSPECTORS = [
    {
        "name": "envoy.filters.listener.tls_inspector",
        "typedConfig": {"@type": LISTENER + "tls_inspector.v3.TlsInspector"},
    },
    {
        "name": "envoy.filters.listener.http_inspector",
        "typedConfig": {"@type": LISTENER + "http_inspector.v3.HttpInspector"},
    },
]


def chain(kit: Any, name: str, socket: Any = None, **match: Any) -> dict[str, Any]:
    """A chain whose every answer is its name."""
    route = {
        "match": {"prefix": "/"},
        "directResponse": {"status": 200, "body": {"inlineString": name}},
    }
    made: dict[str, Any] = kit.listener(name, 1, kit.routes(route))["filterChains"][0]
    made["name"] = name
    made["filterChainMatch"] = match
    if socket is not None:
        made["transportSocket"] = socket
    return made


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=authority().cert_pem)
    return context


async def ask(port: int, tls: ssl.SSLContext | None = None, name: str = "") -> str:
    """Return the body of an answer, ``closed`` or ``alert``."""
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname=name if tls else None
        )
    except (ssl.SSLError, ConnectionError):
        return "alert"
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        text = await reader.read()
        return text.decode().partition("\r\n\r\n")[2] if text else "closed"
    except (ssl.SSLError, ConnectionError):
        return "alert"
    finally:
        writer.close()


@pytest.mark.envoy
@pytest.mark.parametrize("engine", ENGINES)
async def test_chains(engine: str, kit: Any, folder: Path) -> None:
    root, own = authority(), workload("server")
    mutual = downstream(own, root, require=True)
    a = downstream(issue("a", ["a.test"], root))
    ports = {name: kit.free_port() for name in ("permissive", "strict", "names")}
    chains = {
        "permissive": [
            chain(kit, "istio", mutual, transportProtocol="tls", applicationProtocols=["istio"]),
            chain(kit, "tls", a, transportProtocol="tls"),
            chain(kit, "http", transportProtocol="raw_buffer", applicationProtocols=["http/1.1"]),
        ],
        "strict": [chain(kit, "mutual", mutual)],
        "names": [
            chain(kit, "a", a, serverNames=["a.test"]),
            chain(kit, "wild", a, serverNames=["*.wild.test"]),
        ],
    }
    listeners = [
        {
            "name": name,
            "address": {"socketAddress": {"address": "127.0.0.1", "portValue": port}},
            "filterChains": chains[name],
            "listenerFilters": INSPECTORS if name != "strict" else [],
        }
        for name, port in ports.items()
    ]
    listeners[2]["defaultFilterChain"] = chain(kit, "default")
    plain_tls, istio = client_context(), client_context()
    own.write(folder, "client")
    istio.load_cert_chain(folder / "client.pem", folder / "client-key.pem")
    istio.set_alpn_protocols(["istio"])
    naked = client_context()
    naked.set_alpn_protocols(["istio"])
    async with proxy(engine, kit, folder, listeners, []) as running:
        assert await ask(ports["permissive"]) == "http"
        assert await ask(ports["permissive"], plain_tls, "x.test") == "tls"
        assert await ask(ports["permissive"], istio, "x.test") == "istio"
        assert await ask(ports["permissive"], naked, "x.test") == "alert"
        assert await ask(ports["strict"]) == "closed"
        assert await ask(ports["strict"], plain_tls, "x.test") == "alert"
        assert await ask(ports["strict"], istio, "x.test") == "mutual"
        assert await ask(ports["names"], plain_tls, "a.test") == "a"
        assert await ask(ports["names"], plain_tls, "A.test") == "a"
        assert await ask(ports["names"], plain_tls, "x.wild.test") == "wild"
        assert await ask(ports["names"]) == "default"
        reader, writer = await asyncio.open_connection("127.0.0.1", ports["permissive"])
        writer.write(b"hello\n")
        with contextlib.suppress(ConnectionResetError):  # Envoy has not read the bytes
            assert await reader.read() == b""  # no chain is left
        writer.close()
        stats = await running.stats()
    assert stats[f"listener.127.0.0.1_{ports['permissive']}.no_filter_chain_match"] == 1
    assert stats[f"listener.127.0.0.1_{ports['strict']}.ssl.connection_error"] == 1


async def test_rotation_loses_no_request(kit: Any, folder: Path) -> None:
    """New certificates every few requests, on both sides, while requests run on old and new ones."""
    root = authority()
    for name in ("client", "server"):
        (folder / name).mkdir()
        issue("", [f"spiffe://cluster.local/{name}"], root).write(folder / name, "w")

    def files(name: str) -> dict[str, Any]:
        return {
            "certificateChain": {"filename": str(folder / name / "w.pem")},
            "privateKey": {"filename": str(folder / name / "w-key.pem")},
        }

    roots = {"trustedCa": {"inlineString": root.cert_pem}}
    common = {"validationContext": roots}
    tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
    async with kit.upstream() as application:
        inner, port = kit.free_port(), kit.free_port()
        inbound = kit.listener("in", inner, kit.routes(kit.route("/", "app")))
        inbound["filterChains"][0]["transportSocket"] = {
            "name": "tls",
            "typedConfig": {
                "@type": tls + "DownstreamTlsContext",
                "commonTlsContext": {**common, "tlsCertificates": [files("server")]},
                "requireClientCertificate": True,
            },
        }
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        three = {
            "@type": f"type.googleapis.com/{options}",
            "commonHttpProtocolOptions": {"maxRequestsPerConnection": 3},
            "explicitHttpConfig": {"httpProtocolOptions": {}},
        }
        peer = kit.cluster("peer", inner, typedExtensionProtocolOptions={options: three})
        peer["transportSocket"] = {
            "name": "tls",
            "typedConfig": {
                "@type": tls + "UpstreamTlsContext",
                "commonTlsContext": {**common, "tlsCertificates": [files("client")]},
            },
        }
        outbound = kit.listener("out", port, kit.routes(kit.route("/", "peer")))
        clusters = [peer, kit.cluster("app", application.port)]
        async with proxy("mitmproxy", kit, folder, [inbound, outbound], clusters) as running:
            clients = [await kit.Client.connect(port) for _ in range(4)]
            for round_number in range(25):
                name = ("client", "server")[round_number % 2]
                issue("", [f"spiffe://cluster.local/{name}"], root).write(folder / name, "w")
                for _ in range(2):
                    replies = await asyncio.gather(*(each.get("/") for each in clients))
                    assert [reply.status for reply in replies] == [200] * 4
            for each in clients:
                each.close()
            stats = await running.stats()
    # 200 requests, three a connection: each of them shook hands with what was newest.
    assert stats[f"listener.127.0.0.1_{inner}.ssl.handshake"] >= 66
    assert f"listener.127.0.0.1_{inner}.ssl.connection_error" not in stats
