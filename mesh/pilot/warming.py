"""Warming: an acknowledged change is in force only when nothing is warming any more.

Envoy acknowledges a cluster or listener and may still wait for its endpoints or routes; requests
meanwhile are answered 503.  Its gauges ``cluster_manager.warming_clusters`` and
``listener_manager.total_listeners_warming`` tell; there is no event for them, so they are asked.
"""

from __future__ import annotations

import asyncio
import json

GAUGES = ("cluster_manager.warming_clusters", "listener_manager.total_listeners_warming")
_PATH = "/stats?format=json&filter=warming"
_PAUSE = 0.005


async def still_warming(admin: int | str, timeout: float) -> str:
    """Return ``""`` as soon as nothing is warming, else after ``timeout`` seconds what is wrong."""
    reason = "its admin port does not answer"
    try:
        async with asyncio.timeout(timeout):
            while warming := [name for name, value in (await _gauges(admin)).items() if value]:
                reason = f"{', '.join(warming)} is not 0"
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        return reason
    except (OSError, ValueError, KeyError, asyncio.IncompleteReadError) as error:
        return f"its admin port does not answer as it should ({error})"
    return ""


async def _gauges(admin: int | str) -> dict[str, int]:
    """Ask a port of 127.0.0.1, or a Unix socket."""
    if isinstance(admin, str):
        reader, writer = await asyncio.open_unix_connection(admin)
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", admin)
    try:
        writer.write(
            f"GET {_PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await (_chunks(reader) if b"chunked" in head else reader.read())
    finally:
        writer.close()
    stats = json.loads(body)["stats"]
    return {each["name"]: each["value"] for each in stats if each.get("name") in GAUGES}


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """Read a chunked body."""
    body = b""
    while size := int((await reader.readline()).strip() or b"0", 16):
        body += await reader.readexactly(size)
        await reader.readline()
    return body
