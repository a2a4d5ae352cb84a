"""The judge: a real Envoy, configured as the sidecar beside it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mesh.envoy.supervisor import EnvoyMissingError, find_binary
from tests.mesh.sidecar.ads_server import CDS, LDS, TYPE
from tests.mesh.sidecar.http_peers import Client, Reply
from tests.mesh.sidecar.resources import listener, routes
from tests.mesh.sidecar.sidecar_process import Mesh


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
