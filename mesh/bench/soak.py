"""Soak: very many requests, hostile ones among them; what must not grow, and what must not fail.

``python -m mesh.bench.soak`` sends 100,000 requests through one mitmproxy sidecar, a tenth of them
by peers that break the rules, and prints descriptors and memory after each batch.
``python -m mesh.bench.soak --chain`` sends 10,000 requests through a whole mesh of default
settings on each engine: every one has to be answered with 200.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from pathlib import Path

from mesh.bench.load import closed_loop
from mesh.bench.process import pss_bytes
from mesh.bench.proxies import AUTHORITY, Proxy, proxies
from mesh.testbed.load_topology import standard_topology
from mesh.testbed.local import LocalTestbed

HOST = b"Host: " + AUTHORITY.encode() + b"\r\n"
HOSTILE = [
    b"nonsense\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost",
    b"\x16\x03\x01\x02\x00\x01",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: \x00\r\n\r\n",
    b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n" + b"a" * 70_000,
    b"GET /bytes/1000000 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 70_000,
    b"GET / HTTP/1.1\r\n" + HOST + b"\r\n" * 2 + b"nonsense\r\n\r\n",
    b"GET / HTTP/1.0\r\n" + HOST + b"\r\n",
    b"CONNECT nowhere:1 HTTP/1.1\r\n\r\n",
]
"""What a peer sends before it leaves, or is thrown out."""


async def _hostile(port: int, data: bytes, patient: bool) -> None:
    """One bad peer: it waits for what comes of it, or leaves at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        if patient:
            writer.write_eof()
            while await reader.read(65536):
                pass
    writer.close()


async def _batch(port: int, requests: int) -> int:
    """Send a batch, a tenth of it hostile; return the errors of the honest clients."""

    async def enemies() -> None:
        for number in range(requests // 10):
            await _hostile(port, HOSTILE[number % len(HOSTILE)], number % 3 != 0)

    path = "/"
    honest = closed_loop(port, 8, requests - requests // 10, path, AUTHORITY)
    figures, _ = await asyncio.gather(honest, enemies())
    return int(figures["errors"])


def _state(proxy: Proxy) -> dict[str, float]:
    descriptors = len(list(Path(f"/proc/{proxy.pid}/fd").iterdir()))
    return {"descriptors": descriptors, "pss_mb": round(pss_bytes(proxy.pid) / 1e6, 2)}


def sidecar(requests: int = 100_000, batches: int = 10) -> list[dict[str, float]]:
    """Soak one sidecar; return ``requests``, ``errors``, ``descriptors`` and ``pss_mb`` after each batch."""
    seen: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="mls-") as folder, proxies(Path(folder)) as found:
        proxy = next(each for each in found if each.name == "mitmproxy sidecar")
        for number in range(1, batches + 1):
            errors = asyncio.run(_batch(proxy.port, requests // batches))
            row = {"requests": number * (requests // batches), "errors": errors, **_state(proxy)}
            seen.append(row)
            print(json.dumps(row), flush=True)
    return seen


def chain(engine: str, requests: int = 10_000) -> dict[str, float]:
    """Send ``requests`` through the mesh of lab 1 (five proxies, three applications) on ``engine``."""
    with LocalTestbed(standard_topology(), engine=engine) as mesh:
        port = int(mesh.gateway_url.rpartition(":")[2])
        figures = asyncio.run(closed_loop(port, 8, requests, "/"))
    figures["rps"] = figures["requests"] / figures["seconds"]
    return figures


def main() -> int:
    """Soak; 1 when something failed or grew."""
    parser = argparse.ArgumentParser(prog="python -m mesh.bench.soak", description=__doc__)
    parser.add_argument("--chain", action="store_true", help="10,000 requests through a mesh")
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--engine", default="both", help="mitmproxy, envoy or both")
    options = parser.parse_args()
    if options.chain:
        engines = ("mitmproxy", "envoy") if options.engine == "both" else (options.engine,)
        failed = 0
        for engine in engines:
            figures = chain(engine, options.requests or 10_000)
            failed += int(figures["errors"])
            print(engine, json.dumps(figures), flush=True)
        return 1 if failed else 0
    rows = sidecar(options.requests or 100_000)
    first, last = rows[0], rows[-1]
    grown = last["descriptors"] > first["descriptors"] + 8
    grown = grown or last["pss_mb"] > first["pss_mb"] * 1.1 + 2
    return 1 if grown or any(row["errors"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
