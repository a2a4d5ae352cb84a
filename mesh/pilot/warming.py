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


async def warmed(admin_port: int, timeout: float) -> bool:
    """Return True as soon as nothing is warming; False after ``timeout`` seconds, or without answer."""
    try:
        async with asyncio.timeout(timeout):
            while sum((await _gauges(admin_port)).values()):
                await asyncio.sleep(_PAUSE)
    except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
        return False
    return True


async def _gauges(port: int) -> dict[str, int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {_PATH} HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    _, _, body = answer.partition(b"\r\n\r\n")
    stats = json.loads(body)["stats"]
    return {each["name"]: each["value"] for each in stats if each.get("name") in GAUGES}
