"""DNS of a sidecar: it answers the look-ups of its application, so that every service has an address.

iptables brings what the application asks of port 53 here.  A name of the mesh, or of a
ServiceEntry, is answered with its virtual address, whether or not a pod stands behind it; every
other name goes on to the resolver of the pod.  In a real mesh the agent beside Envoy does it
(``ISTIO_META_DNS_CAPTURE``), with the names that istiod sends.
A second port says of every name that it does not exist: the resolver of a container asks it about
what it does not know itself, so that no look-up leaves the mesh.
Source: istio/istio ``pkg/dns/client/dns.go``.  See it with ``getent ahosts preference`` in a pod.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Thread
from urllib.parse import quote

from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from dnslib.dns import DNSError

PORT, NOWHERE_PORT = 15053, 15054
TTL = 30
"""Seconds for which an answer may be kept, as Istio has it."""
ANSWER_SECONDS = 5.0
"""As long as a resolver may take; the usual client waits no longer."""
MOST_QUESTIONS = 256
"""Questions that may be under way; more are dropped, as by any resolver."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
_LENGTH = struct.Struct("!H")
_RESOLV_CONF = Path("/etc/resolv.conf")

log = logging.getLogger(__name__)
Answer = Callable[[bytes], Awaitable[bytes]]
Names = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class DnsOptions:
    """``node_id`` of the proxy, ``api_socket`` of the control plane, the two ports on 127.0.0.1.

    ``resolver``: address of the server for all other names, ``""`` for that of ``/etc/resolv.conf``.
    """

    node_id: str
    api_socket: Path
    port: int = PORT
    nowhere_port: int = NOWHERE_PORT
    resolver: str = ""


def lookup(names: Names, name: str) -> list[str] | None:
    """Return the addresses of a name, or of a wildcard that covers it; None when it is unknown."""
    wanted = name.rstrip(".").lower()
    if wanted in names:
        return names[wanted]
    _, dot, rest = wanted.partition(".")
    while dot:
        if f"*.{rest}" in names:
            return names[f"*.{rest}"]
        _, dot, rest = rest.partition(".")
    return None


def answer(names: Names, question: bytes) -> bytes | None:
    """Return the answer about a name of ``names``, None for another one.  Raises ``DNSError``.

    A name that has an IPv4 address only is answered with nothing when another kind is asked for.
    """
    request = DNSRecord.parse(question)
    found = lookup(names, str(request.q.qname))
    if found is None:
        return None
    reply = request.reply()
    if request.q.qtype in (QTYPE.A, QTYPE.ANY):
        for address in found:
            reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=TTL))
    return bytes(reply.pack())


def refusal(question: bytes, code: int) -> bytes:
    """Return an answer that is a code (NXDOMAIN, SERVFAIL) and nothing else.  Raises ``DNSError``."""
    reply = DNSRecord.parse(question).reply()
    reply.header.rcode = code
    return bytes(reply.pack())


def nameserver(conf: Path = _RESOLV_CONF) -> str:
    """Return the first server of ``resolv.conf``; Docker's when there is none."""
    with contextlib.suppress(OSError):
        for line in conf.read_text(encoding="ascii", errors="replace").splitlines():
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1 and ":" not in words[1]:
                return words[1]
    return "127.0.0.11"


@dataclass(slots=True)
class DnsServer:
    """Serves both ports; the names come from the control plane, and stay when that is gone."""

    options: DnsOptions
    names: dict[str, list[str]] = field(default_factory=dict)
    _known: asyncio.Event = field(default_factory=asyncio.Event)
    _under_way: int = 0

    def begin(self) -> None:
        """Serve in a thread of its own, beside a process without an event loop."""
        Thread(target=asyncio.run, args=(self.serve(),), name="dns", daemon=True).start()

    async def serve(self) -> None:
        """Serve until cancelled.  Raises OSError when a port is taken."""
        loop = asyncio.get_running_loop()
        ports = ((self.options.port, self.reply), (self.options.nowhere_port, self._nowhere))
        opened: list[asyncio.BaseTransport | asyncio.Server] = []
        try:
            for port, work in ports:
                place = ("127.0.0.1", port)
                made = await loop.create_datagram_endpoint(
                    partial(_Datagrams, work), local_addr=place
                )
                opened.append(made[0])
                opened.append(await asyncio.start_server(_stream(work), *place))
            await self._keep_up()
        finally:
            for each in opened:
                each.close()

    async def _keep_up(self) -> None:
        """Take every new table of names, until cancelled."""
        tag, pause = "none", FIRST_PAUSE
        while True:
            try:
                tag = await self._follow(tag)
                pause = FIRST_PAUSE
            except (OSError, ValueError, EOFError) as problem:
                log.info("the control plane tells no names: %s", problem)
                await asyncio.sleep(pause)  # it is being started anew: what is known stays
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _follow(self, tag: str) -> str:
        """Ask for names other than those of ``tag``; answers when there are any."""
        reader, writer = await asyncio.open_unix_connection(
            str(self.options.api_socket), limit=1 << 24
        )
        try:
            path = f"/names/{quote(self.options.node_id, safe='')}/{tag}"
            writer.write(f"GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n".encode())
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            if head.split(b" ", 2)[1:2] != [b"200"]:
                raise ValueError(body.decode("utf-8", "replace")[:200] or "no answer")
            told = json.loads(body)
        finally:
            writer.close()
        self.names = {str(name): list(places) for name, places in told["names"].items()}
        self._known.set()
        return str(told["tag"])

    async def reply(self, question: bytes) -> bytes:
        """Return the answer to a question of the application."""
        await self._known.wait()
        own = answer(self.names, question)
        if own is not None:
            return own
        if self._under_way >= MOST_QUESTIONS:
            return refusal(question, RCODE.SERVFAIL)
        self._under_way += 1
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await ask(self.options.resolver or nameserver(), question)
        except (TimeoutError, OSError):
            return refusal(question, RCODE.SERVFAIL)
        finally:
            self._under_way -= 1

    async def _nowhere(self, question: bytes) -> bytes:
        return refusal(question, RCODE.NXDOMAIN)


async def ask(server: str, question: bytes, port: int = 53) -> bytes:
    """Ask another resolver; OSError when nobody is there."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((server, port))
        await loop.sock_sendall(sock, question)
        while True:
            found = await loop.sock_recv(sock, 65535)
            if found[:2] == question[:2]:
                return found


class _Datagrams(asyncio.DatagramProtocol):
    """One port by UDP."""

    def __init__(self, work: Answer) -> None:
        self._work = work
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Called by asyncio with a question."""
        if len(self._tasks) >= MOST_QUESTIONS:
            return
        task = asyncio.get_running_loop().create_task(self._answer(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, addr: tuple[str, int]) -> None:
        with contextlib.suppress(DNSError):  # not a question: nobody waits for an answer
            self._transport.sendto(await self._work(data), addr)


def _stream(
    work: Answer,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Return what serves one connection by TCP: each message has its length before it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                found = await work(await reader.readexactly(length))
                writer.write(_LENGTH.pack(len(found)) + found)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError, DNSError):
            pass
        finally:
            writer.close()

    return serve
