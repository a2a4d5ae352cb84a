"""The same listeners and clusters on both engines: the real Envoy (static) and the sidecar (ADS)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.testbed.engines import REUSE_PORT
from tests.mesh.sidecar.judge.conftest import envoy_binary

ENGINES = ("envoy", "mitmproxy")


@dataclass
class Proxy:
    """A running proxy; ``stats`` and ``logs`` (the JSON lines of ``log``) are read from outside."""

    kit: Any
    admin_port: int
    log: Path

    async def stats(self) -> dict[str, int]:
        reply = await self._admin("GET", "/stats?format=json")
        return {
            item["name"]: item["value"]
            for item in json.loads(reply.body)["stats"]
            if "value" in item
        }

    async def logs(self, count: int) -> list[dict[str, Any]]:
        """Return the log once it has ``count`` lines."""
        while True:
            await self._admin("POST", "/reopen_logs")
            if self.log.exists():
                # An engine may be in the middle of a line: only what a line end closes is there.
                lines = self.log.read_text().split("\n")[:-1]
                if len(lines) >= count:
                    return [json.loads(line) for line in lines]
            await asyncio.sleep(0.01)

    async def _admin(self, method: str, path: str) -> Any:
        client = await self.kit.Client.connect(self.admin_port)
        try:
            return await client.send(
                f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
            )
        finally:
            client.close()


@asynccontextmanager
async def proxy(
    engine: str,
    kit: Any,
    folder: Path,
    listeners: list[dict[str, Any]],
    clusters: list[dict[str, Any]],
) -> AsyncIterator[Proxy]:
    """Run ``engine``; ports are in the listeners already."""
    log = folder / "access.jsonl"
    if engine == "mitmproxy":
        mesh = kit.Mesh(folder)
        mesh.ads.set(kit.CDS, *clusters)
        mesh.ads.set(kit.LDS, *listeners)
        await mesh.start()
        try:
            yield Proxy(kit, mesh.admin_port, log)
        finally:
            errors = await mesh.stop()
        assert "Traceback" not in errors, errors
        return
    admin = kit.free_port()
    address = {"socketAddress": {"address": "127.0.0.1", "portValue": admin}}
    bootstrap = {
        "admin": {"address": address, "socketOptions": [REUSE_PORT]},
        "staticResources": {"listeners": listeners, "clusters": clusters},
    }
    path = folder / "envoy.json"
    path.write_text(json.dumps(bootstrap))
    process = await asyncio.create_subprocess_exec(
        str(envoy_binary()),
        *("-c", str(path), "--disable-hot-restart", "--concurrency", "1", "-l", "info"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said = []
    reader: asyncio.Task[bytes] | None = None
    try:
        async for line in process.stderr:
            said.append(line.decode())
            if b"starting workers" in line:
                break
        else:
            raise AssertionError("Envoy did not start: " + "".join(said[-5:]))
        reader = asyncio.create_task(process.stderr.read())
        made = Proxy(kit, admin, log)
        while not (await made.stats())["listener_manager.workers_started"]:
            await asyncio.sleep(0.005)
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if reader is not None:
            await reader
