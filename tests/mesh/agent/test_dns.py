"""The DNS of a sidecar, with its names from a real control plane."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dnslib import QTYPE, RCODE, DNSRecord
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket

from mesh.agent.dns import DnsOptions, DnsServer, answer, ask, lookup, nameserver
from mesh.istio import era
from mesh.pilot.control_plane import ControlPlane
from mesh.pilot.names_feed import NamesFeed
from mesh.pilot.node import ProxyNode
from mesh.pilot.server import application
from mesh.pilot.store import Store
from mesh.pilot.virtual_address import of_services
from mesh.topology import Service

NODE = ProxyNode("customer-0", "tutorial", outbound_port=15001, captured=True)
SERVICE = Service("preference")
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: tutorial}
spec:
  hosts: [pay.example.com]
  addresses: [240.240.9.9]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
"""


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("preference.", ["10.96.0.1"]),
        ("PREFERENCE", ["10.96.0.1"]),
        ("a.corp.example.", ["10.96.0.2"]),
        ("b.a.corp.example.", ["10.96.0.2"]),
        ("corp.example.", None),
        ("nobody.", None),
    ],
)
def test_a_name_and_what_a_wildcard_covers(name: str, found: list[str] | None) -> None:
    assert lookup({"preference": ["10.96.0.1"], "*.corp.example": ["10.96.0.2"]}, name) == found


def test_another_kind_of_address_is_not_there_but_the_name_is() -> None:
    question = DNSRecord.question("preference", "AAAA")
    found = answer({"preference": ["10.96.0.1"]}, question.pack())
    assert found is not None
    reply = DNSRecord.parse(found)
    assert (reply.header.id, reply.header.rcode, reply.rr) == (question.header.id, 0, [])


def test_the_pods_own_resolver_is_read(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("# made\nnameserver ::1\nnameserver 127.0.0.11\noptions ndots:0\n")
    assert nameserver(conf) == "127.0.0.11"
    assert nameserver(tmp_path / "none") == "127.0.0.11"


def free_ports() -> list[int]:
    """Return two ports that are free for UDP and TCP, none that the kernel hands out by itself."""
    found: list[int] = []
    while len(found) < 2:
        with (
            contextlib.suppress(OSError),
            socket.socket() as stream,
            socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        ):
            stream.bind(("127.0.0.1", random.randrange(10_000, 32_000)))
            datagrams.bind(stream.getsockname())
            found.append(stream.getsockname()[1])
    return found


async def with_mesh(work: Callable[[ControlPlane, DnsOptions], Awaitable[None]]) -> None:
    """Run ``work`` with a control plane and the DNS of one pod."""
    with TemporaryDirectory(prefix="mldns", dir="/tmp") as text:
        plane = ControlPlane(Store(Path(text) / "store"), era("istio-current"))
        plane.registry.add_service(SERVICE)
        plane.add_pods([(NODE, None)])
        api = HTTPServer(application(plane))
        api.add_sockets([bind_unix_socket(f"{text}/api")])
        port, nowhere = free_ports()
        options = DnsOptions(NODE.id, Path(text) / "api", port, nowhere, resolver="127.0.0.1")
        serving = asyncio.create_task(DnsServer(options).serve())
        try:
            assert await plane.names.wait([NODE.id], 60.0) == []
            await work(plane, options)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            api.stop()
            await api.close_all_connections()


def addresses(reply: bytes) -> list[str]:
    return [str(each.rdata) for each in DNSRecord.parse(reply).rr if each.rtype == QTYPE.A]


def test_what_is_applied_is_answered_when_it_is_in_force_by_udp_and_tcp() -> None:
    async def work(plane: ControlPlane, options: DnsOptions) -> None:
        service = DNSRecord.question("preference.tutorial").pack()
        found = addresses(await ask("127.0.0.1", service, options.port))
        assert found == [of_services([SERVICE.hostname])[SERVICE.hostname]]

        applying = asyncio.create_task(plane.apply([("pay.yaml", ENTRY)]))
        await applying
        assert await plane.names.wait(None, 60.0) == []
        entry = DNSRecord.question("pay.example.com").pack()
        assert addresses(await ask("127.0.0.1", entry, options.port)) == ["240.240.9.9"]

        reader, writer = await asyncio.open_connection("127.0.0.1", options.port)
        for _ in range(2):  # one connection, several questions
            writer.write(struct.pack("!H", len(entry)) + entry)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            assert addresses(await reader.readexactly(length)) == ["240.240.9.9"]
        writer.close()
        await writer.wait_closed()

    asyncio.run(with_mesh(work))


def test_other_names_go_on_and_the_second_port_knows_none() -> None:
    async def work(_: ControlPlane, options: DnsOptions) -> None:
        question = DNSRecord.question("nobody.example").pack()
        nowhere = DNSRecord.parse(await ask("127.0.0.1", question, options.nowhere_port))
        assert nowhere.header.rcode == RCODE.NXDOMAIN
        # Nobody listens at the resolver of this test, which shows at once.
        refused = DNSRecord.parse(await ask("127.0.0.1", question, options.port))
        assert refused.header.rcode in (RCODE.SERVFAIL, RCODE.NXDOMAIN)

    asyncio.run(with_mesh(work))


def test_a_dns_that_is_gone_is_not_waited_for() -> None:
    async def main() -> None:
        feed, asking = NamesFeed(), object()
        feed.offer({"a": {"preference": ["10.96.0.1"]}, "b": {}})
        table = await feed.next("a", "none", asking)
        assert await feed.wait(None, 0.0) == ["a"]  # it was told, and has not said that it has it
        feed.lost("a", asking)
        assert await feed.wait(None, 0.0) == []
        assert await feed.wait(["a", "b"], 0.0) == ["a", "b"]
        again = asyncio.ensure_future(feed.next("a", table.tag, asking))
        assert await feed.wait(["a"], 60.0) == []
        again.cancel()

    asyncio.run(main())
