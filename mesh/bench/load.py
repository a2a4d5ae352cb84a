"""A closed loop of keep-alive connections: each sends its next request when it has its answer.

Run as ``python -m mesh.bench.load PORT CONNECTIONS REQUESTS PATH UPLOAD [AUTHORITY]``; it prints one
JSON object ``{"requests", "errors", "seconds", "p50_ms", "p99_ms"}``.  UPLOAD: bytes of a POST, -1 for
a GET.  With AUTHORITY the request goes in absolute form, as an application behind ``http_proxy`` sends it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time

from mesh.bench import process

CONNECTIONS = 8


async def _worker(
    port: int, request: bytes, left: list[int], took: list[float], errors: list[int]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        while left[0] > 0:
            left[0] -= 1
            begin = time.perf_counter()
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            await _drain_body(reader, head)
            took.append(time.perf_counter() - begin)
            if not head.startswith(b"HTTP/1.1 200"):
                errors[0] += 1
    except (ConnectionError, asyncio.IncompleteReadError):
        errors[0] += 1
    finally:
        writer.close()


async def _drain_body(reader: asyncio.StreamReader, head: bytes) -> None:
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        while (size := int((await reader.readline()).split(b";")[0], 16)) > 0:
            await reader.readexactly(size + 2)
        await reader.readline()
        return
    length = lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    await reader.readexactly(int(length or 0))


async def closed_loop(
    port: int, connections: int, requests: int, path: str, authority: str = "", upload: int = -1
) -> dict[str, float]:
    """Send ``requests`` requests over ``connections`` connections; times in milliseconds.

    ``upload``: bytes of the body of a POST; -1 is a GET.
    """
    target = f"http://{authority}{path}" if authority else path
    host = authority or f"127.0.0.1:{port}"
    method, length = ("GET", "") if upload < 0 else ("POST", f"content-length: {upload}\r\n")
    lines = f"{method} {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: bench\r\n{length}\r\n"
    request = lines.encode() + b"x" * max(upload, 0)
    left, took, errors = [requests], list[float](), [0]
    begin = time.perf_counter()
    await asyncio.gather(*(_worker(port, request, left, took, errors) for _ in range(connections)))
    seconds = time.perf_counter() - begin
    marks = statistics.quantiles(took, n=100) if len(took) > 1 else [0.0] * 99
    return {
        "requests": len(took),
        "errors": errors[0],
        "seconds": seconds,
        "p50_ms": marks[49] * 1000,
        "p99_ms": marks[98] * 1000,
    }


def send(
    port: int, requests: int, path: str = "/", authority: str = "", upload: int = -1
) -> dict[str, float]:
    """Send ``requests`` from a process of its own; adds ``rps`` to the figures."""
    words = [str(port), str(CONNECTIONS), str(requests), path, str(upload), authority]
    printed = process.output([sys.executable, "-m", "mesh.bench.load", *words])
    figures: dict[str, float] = json.loads(printed)
    return figures | {"rps": figures["requests"] / figures["seconds"]}


if __name__ == "__main__":
    _port, _connections, _requests, _path, _upload, *_authority = sys.argv[1:]
    _numbers = int(_port), int(_connections), int(_requests)
    print(json.dumps(asyncio.run(closed_loop(*_numbers, _path, "".join(_authority), int(_upload)))))
