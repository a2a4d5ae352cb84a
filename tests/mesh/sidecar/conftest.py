"""A real control plane (grpclib), real upstreams (asyncio) and a real sidecar process."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import inspect
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.service.discovery.v3 import (
    AggregatedDiscoveryServiceBase,
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    Resource,
)
from envoy_data_plane.google.protobuf import Any as Packed
from grpclib.server import Server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a dependency of mitmproxy uses what is deprecated
    import mitmproxy.master  # noqa: F401

import mesh.sidecar.xds  # noqa: F401  registers the types inside Any
from mesh.accesslog import JSON_FORMAT
from mesh.envoy.supervisor import EnvoyMissingError, find_binary
from mesh.testbed.ports import Ports

TYPE = "type.googleapis.com/"
KINDS: dict[str, Any] = {
    TYPE + "envoy.config.cluster.v3.Cluster": Cluster,
    TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment": ClusterLoadAssignment,
    TYPE + "envoy.config.listener.v3.Listener": Listener,
    TYPE + "envoy.config.route.v3.RouteConfiguration": RouteConfiguration,
}
CDS, EDS, LDS, RDS = KINDS
LIMIT = 300
"""Seconds after which a test hangs; none takes one when the machine is quiet."""


class AdsServer(AggregatedDiscoveryServiceBase):
    """Incremental xDS; ``push`` sends new resources and returns the answer to them."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {url: {} for url in KINDS}
        self.version = 0
        self.requests: list[DeltaDiscoveryRequest] = []
        self._changed = asyncio.Condition()
        self._queue: asyncio.Queue[str] | None = None
        self.streams = 0

    async def delta_aggregated_resources(
        self, messages: AsyncIterator[DeltaDiscoveryRequest]
    ) -> AsyncIterator[DeltaDiscoveryResponse]:
        self.streams += 1
        self._queue = queue = asyncio.Queue[str]()
        names: dict[str, set[str]] = {}
        sent: dict[str, set[str]] = {url: set() for url in KINDS}

        async def read() -> None:
            async for request in messages:
                async with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                url = request.type_url
                if url not in names or request.resource_names_subscribe:
                    names.setdefault(url, set()).update(request.resource_names_subscribe)
                    queue.put_nowait(url)

        reader = asyncio.create_task(read())
        try:
            while True:
                url = await queue.get()
                if not url:
                    return
                if url not in names:
                    continue
                wanted = names[url]
                chosen = {
                    name: item
                    for name, item in self.resources[url].items()
                    if name in wanted or url in (CDS, LDS)
                }
                if url in (EDS, RDS) and not chosen:
                    continue
                self.version += 1
                removed, sent[url] = sorted(sent[url] - chosen.keys()), set(chosen)
                yield DeltaDiscoveryResponse(
                    system_version_info=str(self.version),
                    type_url=url,
                    nonce=f"n{self.version}",
                    resources=[
                        Resource(
                            name=name,
                            version=str(self.version),
                            resource=Packed(type_url=url, value=bytes(item)),
                        )
                        for name, item in chosen.items()
                    ],
                    removed_resources=removed,
                )
        finally:
            reader.cancel()

    def hang_up(self) -> None:
        """End the stream."""
        assert self._queue is not None
        self._queue.put_nowait("")

    def set(self, url: str, *resources: Any) -> None:
        """Replace the resources of a type."""
        made = [KINDS[url].from_dict(m) if isinstance(m, dict) else m for m in resources]
        self.resources[url] = {getattr(m, "name", "") or m.cluster_name: m for m in made}

    async def push(self, url: str, *resources: Any) -> DeltaDiscoveryRequest:
        """Replace the resources of a type, send them, and return the ACK or NACK."""
        self.set(url, *resources)
        before = self.version
        assert self._queue is not None
        self._queue.put_nowait(url)
        return await self.answer(url, before)

    async def first_request(self, url: str, seen: int) -> DeltaDiscoveryRequest:
        """Wait for any request of type ``url`` after the first ``seen``."""
        async with self._changed:
            while True:
                for request in self.requests[seen:]:
                    if request.type_url == url:
                        return request
                await self._changed.wait()

    async def answer(self, url: str, before: int) -> DeltaDiscoveryRequest:
        """Wait for the answer to a response of type ``url`` newer than version ``before``."""
        async with self._changed:
            while True:
                for request in self.requests:
                    nonce = request.response_nonce
                    if request.type_url == url and nonce and int(nonce[1:]) > before:
                        return request
                await self._changed.wait()


@dataclass
class Upstream:
    """An HTTP/1.1 server; ``handler(method, path, head, body)`` returns raw bytes, None closes."""

    port: int = 0
    path: str = ""
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0


Handler = Callable[[str, str, str, bytes], Awaitable[bytes | None]]


async def echo(method: str, path: str, head: str, body: bytes) -> bytes | None:
    text = head.encode("latin-1") + body
    return b"HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


@asynccontextmanager
async def upstream(handler: Handler = echo, path: str = "") -> AsyncIterator[Upstream]:
    """Serve ``handler`` on a free port, or on the Unix socket ``path``."""
    state = Upstream(path=path)
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lower = head.lower()
                body = b""
                if "\r\ncontent-length:" in lower:
                    length = int(lower.split("\r\ncontent-length:")[1].split("\r\n")[0])
                    body = await reader.readexactly(length)
                elif "\r\ntransfer-encoding: chunked" in lower:
                    body = await _read_chunked(reader)
                state.heads.append(head)
                state.bodies.append(body)
                method, target, _ = head.split(" ", 2)
                answer = await handler(method, target, head, body)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writers.discard(writer)
            writer.close()

    if path:
        server = await asyncio.start_unix_server(serve, path)
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for writer in list(writers):
            writer.close()


_ports = Ports()


def free_port() -> int:
    """Return a port that is held until the test ends, for a proxy that sets SO_REUSEPORT."""
    return _ports.take(1)[0]


@pytest.fixture(autouse=True)
def _release_ports() -> Iterator[None]:
    yield
    _ports.close()


def cluster(name: str, *endpoints: int | str, **extra: Any) -> dict[str, Any]:
    """A STATIC cluster of ports and Unix socket paths."""
    return {
        "name": name,
        "type": "STATIC",
        "connectTimeout": "1s",
        "loadAssignment": assignment(name, *endpoints),
        **extra,
    }


def assignment(name: str, *endpoints: int | str) -> dict[str, Any]:
    items = []
    for where in endpoints:
        address: dict[str, Any] = {"pipe": {"path": where}}
        if isinstance(where, int):
            address = {"socketAddress": {"address": "127.0.0.1", "portValue": where}}
        items.append({"endpoint": {"address": address}})
    return {"clusterName": name, "endpoints": [{"lbEndpoints": items}] if items else []}


def eds_cluster(name: str) -> dict[str, Any]:
    source = {"edsConfig": {"ads": {}, "resourceApiVersion": "V3"}}
    return {"name": name, "type": "EDS", "connectTimeout": "1s", "edsClusterConfig": source}


def route(prefix: str, to: str, **extra: Any) -> dict[str, Any]:
    action = {"cluster": to, "timeout": "0s", **extra}
    return {"name": f"to-{to}", "match": {"prefix": prefix}, "route": action}


def routes(*entries: dict[str, Any], name: str = "http_proxy", **extra: Any) -> dict[str, Any]:
    host = {"name": "all", "domains": ["*"], "routes": list(entries), **extra}
    return {"name": name, "virtualHosts": [host]}


ROUTER = {
    "name": "envoy.filters.http.router",
    "typedConfig": {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"},
}


def listener(
    name: str,
    port: int,
    table: dict[str, Any] | None,
    log: str = "",
    filters: list[dict[str, Any]] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """A listener with inline routes, or with RDS ``http_proxy`` when ``table`` is None."""
    hcm: dict[str, Any] = {
        "@type": TYPE
        + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "statPrefix": name,
        "httpFilters": filters or [ROUTER],
        **extra,
    }
    if table is None:
        hcm["rds"] = {"routeConfigName": "http_proxy", "configSource": {"ads": {}}}
    else:
        hcm["routeConfig"] = table
    if log:
        fields = {**JSON_FORMAT, "direction": "outbound"}
        hcm["accessLog"] = [
            {
                "name": "file",
                "typedConfig": {
                    "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": log,
                    "logFormat": {"jsonFormat": fields},
                },
            }
        ]
    address = {"socketAddress": {"address": "127.0.0.1", "portValue": port}}
    return {
        "name": name,
        "address": address,
        "filterChains": [{"filters": [{"name": "hcm", "typedConfig": hcm}]}],
    }


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool


class Client:
    """A raw HTTP/1.1 client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, raw: bytes, head_only: bool = False) -> Reply:
        self.writer.write(raw)
        return await self.read(head_only)

    async def get(self, path: str = "/", host: str = "a.test", extra: str = "") -> Reply:
        return await self.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n".encode())

    async def read(self, head_only: bool = False) -> Reply:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        body = b""
        if not head_only:
            if "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            elif headers.get("transfer-encoding") == "chunked":
                body = await _read_chunked(self.reader)
        closed = headers.get("connection") == "close"
        return Reply(int(first.split(" ")[1]), headers, body, closed)

    def close(self) -> None:
        self.writer.close()


async def _reader(fd: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", 0)
    )
    return reader


@cache
def nursery() -> socket.socket:
    """Start the process that forks sidecars, and wait until it can; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = Path(__file__).with_name("nursery.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen(
        [sys.executable, str(script), str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        env=environment,
    )
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    ours.recv(16)
    return ours


class Mesh:
    """One control plane and one sidecar process, forked from the nursery."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ads = AdsServer()
        self.socket = str(folder / "ads.sock")
        self.log = str(folder / "access.jsonl")
        self.port = free_port()
        self.admin_port = free_port()
        self.server = Server([self.ads])
        self.pid = 0
        self.lifeline = -1
        self._errors = -1
        self._answer: asyncio.StreamReader | None = None

    async def start(self, wait: bool = True) -> None:
        """Start both; with ``wait``, until the sidecar is ready."""
        await self.server.start(path=self.socket)
        ready_read, ready_write = os.pipe()
        life_read, self.lifeline = os.pipe()
        answer_read, answer_write = os.pipe()
        self._errors = os.memfd_create("stderr")
        options = {
            "node_id": "pod",
            "ads_socket": self.socket,
            "admin_port": self.admin_port,
            "seed": 1,
        }
        given = [ready_write, life_read, self._errors, answer_write]
        socket.send_fds(nursery(), [json.dumps(options).encode()], given)
        for fd in given:
            if fd != self._errors:
                os.close(fd)
        self._answer = await _reader(answer_read)
        self.pid = int(await self._answer.readline())
        ready = await _reader(ready_read)
        if wait and await ready.read(1) != b"1":
            raise AssertionError(f"the sidecar ended before it was ready: {await self.ended()}")

    def terminate(self) -> None:
        """Send SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    async def ended(self) -> str:
        """Wait until the sidecar has ended; return what it wrote to stderr."""
        assert self._answer is not None
        await self._answer.read()
        os.lseek(self._errors, 0, os.SEEK_SET)
        return os.read(self._errors, 1 << 20).decode()

    async def stop(self) -> str:
        """End both; return what the sidecar wrote to stderr."""
        if self.lifeline >= 0:
            with contextlib.suppress(ProcessLookupError):
                self.terminate()
        errors = await self.ended()
        os.close(self._errors)
        if self.lifeline >= 0:
            os.close(self.lifeline)
        self.server.close()
        await self.server.wait_closed()
        return errors

    async def client(self) -> Client:
        return await Client.connect(self.port)

    async def get(self, path: str = "/", host: str = "a.test", extra: str = "") -> Reply:
        client = await self.client()
        try:
            return await client.get(path, host, extra)
        finally:
            client.close()

    async def admin(self, method: str, path: str) -> Reply:
        client = await Client.connect(self.admin_port)
        try:
            return await client.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        finally:
            client.close()

    async def stats(self) -> dict[str, int]:
        reply = await self.admin("GET", "/stats?format=json")
        return {item["name"]: item["value"] for item in json.loads(reply.body)["stats"]}

    async def records(self) -> list[dict[str, Any]]:
        assert (await self.admin("POST", "/reopen_logs")).status == 200
        text = Path(self.log).read_text()
        return [json.loads(line) for line in text.splitlines()]


@asynccontextmanager
async def running(
    folder: Path,
    entries: list[dict[str, Any]],
    clusters: list[dict[str, Any]],
    host: dict[str, Any] | None = None,
    **hcm: Any,
) -> AsyncIterator[Mesh]:
    """A ready mesh whose outbound listener has the routes ``entries``; its end must be clean."""
    mesh = Mesh(folder)
    mesh.ads.set(CDS, *clusters)
    table = routes(*entries, **(host or {}))
    mesh.ads.set(LDS, listener("out", mesh.port, table, mesh.log, **hcm))
    await mesh.start()
    try:
        yield mesh
    finally:
        errors = await mesh.stop()
    assert "Traceback" not in errors, errors


class Judge:
    """A real Envoy with one listener, configured like ``running``'s."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = str(folder / "envoy.jsonl")
        self.port = 0
        self.admin_port = 0

    async def start(self, listeners: list[dict[str, Any]], clusters: list[dict[str, Any]]) -> None:
        """Start it and wait until it serves; AssertionError with what it said when it does not."""
        try:
            binary = find_binary()
        except EnvoyMissingError:
            pytest.skip("the real Envoy is not installed")
        admin_file, path = self.folder / "admin", self.folder / "bootstrap.json"
        kind = TYPE + "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
        admin = {"socketAddress": {"address": "127.0.0.1", "portValue": 0}}
        bootstrap = {
            "admin": {"address": admin},
            "staticResources": {"listeners": listeners, "clusters": clusters},
            "bootstrapExtensions": [{"name": "internal", "typedConfig": {"@type": kind}}],
        }
        path.write_text(json.dumps(bootstrap))
        options = ["--disable-hot-restart", "--concurrency", "1", "-l", "info"]
        self.process = await asyncio.create_subprocess_exec(
            str(binary), "-c", str(path), "--admin-address-path", str(admin_file), *options,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stderr is not None
        said: list[bytes] = []
        async for line in self.process.stderr:
            said.append(line)
            if b"starting workers" in line:
                break
        else:
            raise AssertionError(f"Envoy did not start: {said[-5:]}")
        self._reading = asyncio.create_task(self.process.stderr.read())
        self.admin_port = int(admin_file.read_text().rpartition(":")[2])
        reply = await self.admin("GET", "/listeners?format=json")
        address = json.loads(reply.body)["listener_statuses"][0]["local_address"]
        self.port = address["socket_address"]["port_value"]

    async def stop(self) -> None:
        self.process.kill()
        await self.process.wait()
        await self._reading

    async def admin(self, method: str, path: str) -> Reply:
        client = await Client.connect(self.admin_port)
        try:
            return await client.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        finally:
            client.close()

    async def stats(self) -> dict[str, int]:
        reply = await self.admin("GET", "/stats?format=json")
        entries = json.loads(reply.body)["stats"]
        return {item["name"]: item["value"] for item in entries if "name" in item}

    async def records(self) -> list[dict[str, Any]]:
        await self.admin("POST", "/reopen_logs")
        while (await self.stats())["filesystem.write_total_buffered"]:
            pass
        return [json.loads(line) for line in Path(self.log).read_text().splitlines()]


@asynccontextmanager
async def both(
    folder: Path,
    entries: list[dict[str, Any]],
    clusters: list[dict[str, Any]],
    host: dict[str, Any] | None = None,
    more: list[dict[str, Any]] | None = None,
    **hcm: Any,
) -> AsyncIterator[dict[str, Any]]:
    """The sidecar and Envoy with the same configuration: ``{"mitmproxy": ..., "envoy": ...}``.

    ``more`` are further listeners (without a port of their own).
    """
    table = {**routes(*entries, **(host or {})), "validateClusters": False}

    def listeners(_engine: str, port: int, log: str) -> list[dict[str, Any]]:
        return [listener("out", port, table, log, **hcm), *(more or [])]

    async with both_with(folder, listeners, clusters) as sides:
        yield sides


@asynccontextmanager
async def both_with(
    folder: Path,
    listeners: Callable[[str, int, str], list[dict[str, Any]]],
    clusters: list[dict[str, Any]],
) -> AsyncIterator[dict[str, Any]]:
    """The same with listeners made by ``listeners(engine, port, log)``; the first one has the port."""
    judge = Judge(folder)
    await judge.start(listeners("envoy", 0, judge.log), clusters)
    mesh = Mesh(folder)
    mesh.ads.set(CDS, *clusters)
    mesh.ads.set(LDS, *listeners("mitmproxy", mesh.port, mesh.log))
    await mesh.start()
    try:
        yield {"mitmproxy": mesh, "envoy": judge}
    finally:
        await judge.stop()
        errors = await mesh.stop()
    assert "Traceback" not in errors, errors


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run ``async def`` tests, each with a limit that only a hang reaches.

    The imports of the nursery do not count: on a busy machine they alone took the first test's time.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.function):
        return None
    names = inspect.signature(pyfuncitem.function).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    if "kit" in names:
        nursery()
    asyncio.run(asyncio.wait_for(pyfuncitem.function(**arguments), LIMIT))
    return True


@pytest.fixture
def kit() -> Any:
    """This module: its builders and classes."""
    return sys.modules[__name__]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for Unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="sc"))
    yield path
    shutil.rmtree(path)
