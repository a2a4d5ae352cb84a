"""Clients that leave at a bad moment harm nobody, and leave no descriptor behind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from tests.mesh.sidecar.judge.test_tcp import break_off, talker, tcp_chain, tcp_listener
from tests.mesh.sidecar.judge.tls_cases import cases

LEAVE = 40


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


async def settled(pid: int, wanted: int) -> None:
    """Wait until no more than ``wanted`` descriptors are open (the test's time limit ends it)."""
    while descriptors(pid) > wanted:
        await asyncio.sleep(0.01)


async def test_clients_leave_in_flight(kit: Any, folder: Path) -> None:
    """Over HTTP and mutual TLS: while the upstream thinks, in a handshake, in a body."""
    held = asyncio.Event()
    arrived = 0

    async def hold(method: str, path: str, head: str, body: bytes) -> bytes | None:
        nonlocal arrived
        if path == "/hold":
            arrived += 1
            await held.wait()
        reply: bytes | None = await kit.echo(method, path, head, body)
        return reply

    server_socket, client_socket = cases()["mutual"]
    async with kit.upstream(hold) as application, talker() as tcp:
        mesh = kit.Mesh(folder)
        inner, raw = kit.free_port(), kit.free_port()
        inbound = kit.listener("in", inner, kit.routes(kit.route("/", "app")), mesh.log)
        inbound["filterChains"][0]["transportSocket"] = server_socket
        outbound = kit.listener("out", mesh.port, kit.routes(kit.route("/", "peer")), mesh.log)
        peer = kit.cluster("peer", inner)
        peer["transportSocket"] = client_socket
        clusters = [peer, kit.cluster("app", application.port), kit.cluster("tcp", tcp.port)]
        passing = tcp_listener("raw", raw, tcp_chain(kit, "raw", mesh.log, "tcp"))
        mesh.ads.set(kit.CDS, *clusters)
        mesh.ads.set(kit.LDS, inbound, outbound, passing)
        await mesh.start()
        try:
            assert (await mesh.get("/")).status == 200
            before = descriptors(mesh.pid)
            leaving = [await mesh.client() for _ in range(LEAVE)]
            for client in leaving:
                client.writer.write(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
            while arrived < LEAVE:
                await asyncio.sleep(0.01)
            for number, client in enumerate(leaving):
                (break_off if number % 2 else asyncio.StreamWriter.close)(client.writer)
            for port, sent in ((inner, b"\x16\x03\x01\x02\x00\x01"), (raw, b"echo!")):
                for _ in range(LEAVE):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(sent)
                    break_off(writer)
            while sum("DC" in each["response_flags"] for each in await mesh.records()) < LEAVE:
                await asyncio.sleep(0.01)
            held.set()
            await settled(mesh.pid, before + 2)
            assert (await mesh.get("/")).status == 200
        finally:
            held.set()
            errors = await mesh.stop()
        assert "Traceback" not in errors, errors
