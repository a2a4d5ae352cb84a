"""Real clients of the control plane: many ADS streams at once, and an Envoy with many clusters.

The clients are in a process of their own and speak what a sidecar speaks: they ask for clusters and
listeners, then for the endpoints and routes that these name, and acknowledge every response.
``python -m mesh.bench.streams SOCKET COUNT`` is that process; it counts what each client was sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from envoy_data_plane.envoy.config.cluster.v3 import ClusterDiscoveryType
from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    Resource,
)
from grpclib.client import Channel
from grpclib.const import Cardinality
from grpclib.server import Server

from mesh.bench import synthetic
from mesh.bench.process import pss_bytes
from mesh.bench.rounds import Figures
from mesh.envoy.bootstrap import bootstrap
from mesh.envoy.supervisor import find_binary
from mesh.pilot.control_plane import ControlPlane
from mesh.pilot.encode import EncodingCodec
from mesh.pilot.main import BACKLOG
from mesh.pilot.node import ProxyNode
from mesh.pilot.store import Store
from mesh.pilot.translate import CDS, EDS, LDS, RDS
from mesh.pilot.warming import still_warming

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_TYPE_EDS = bytes((2 << 3, ClusterDiscoveryType.EDS))
TIMEOUT = 300.0
"""Seconds that a loaded machine may need; nothing is measured by running into it."""


def clients(count: int) -> Figures:
    """Connect ``count`` clients to a mesh of twice as many services, and change one service."""
    return asyncio.run(_clients(count))


async def _clients(count: int) -> Figures:
    made = synthetic.make(2 * count)
    async with _serving(made, count) as (plane, socket):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, socket, str(count)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        began = time.process_time()
        outcome = await plane.in_force(list(plane.nodes), TIMEOUT)
        found: Figures = {"connected": len(plane.ads.connected()), "first CPU s": _since(began)}
        _check(outcome.reason)
        number = next(each for each in range(count) if made.calls[each])
        target = made.calls[number][0]
        before = dict(plane.snapshots)
        began, start = time.process_time(), time.perf_counter()
        plane.update(synthetic.load(synthetic.rule(target, 7)))
        _check((await plane.in_force(None, TIMEOUT)).reason)
        found |= {
            "change CPU ms": 1000 * _since(began),
            "change ms": 1000 * (time.perf_counter() - start),
        }
        found["concerned"] = sum(before[key] is not each for key, each in plane.snapshots.items())
        output, _ = await child.communicate(b"\n")
        counts: dict[str, int] = json.loads(output)
        found["pushed to"] = sum(each > min(counts.values()) for each in counts.values())
        return found


def envoy(clusters: int) -> Figures:
    """Have a real Envoy take ``clusters`` clusters, and a change of one."""
    return asyncio.run(_envoy(clusters))


async def _envoy(clusters: int) -> Figures:
    # Each service has three: one for all its pods, one for each of two versions.
    made = synthetic.make(-(-clusters // 3), mtls=False)
    async with _serving(made, 0) as (plane, socket):
        folder = Path(socket).parent
        node = synthetic.node(0)
        admin = str(folder / "admin")
        plane.update((), [key for key in plane.resources if key[0] == "Sidecar"])
        node = _with_places(node, folder)
        plane.add_pods([(node, None)])
        config = bootstrap(node.to_xds().to_dict(), socket, admin)
        child = await asyncio.create_subprocess_exec(
            *(str(find_binary()), "--config-yaml", json.dumps(config), "--log-level", "error"),
            *("--use-dynamic-base-id", "--concurrency", "1"),
            cwd=folder,
        )
        try:
            start = time.perf_counter()
            outcome = await plane.in_force([node.id], TIMEOUT)
            _check(outcome.reason or await still_warming(admin, TIMEOUT))
            found: Figures = {
                "clusters": len(plane.snapshots[node.id][CDS]),
                "in force s": time.perf_counter() - start,
            }
            start = time.perf_counter()
            plane.update(synthetic.load(synthetic.rule(0, 7)))
            outcome = await plane.in_force([node.id], TIMEOUT)
            _check(outcome.reason or await still_warming(admin, TIMEOUT))
            found["change ms"] = 1000 * (time.perf_counter() - start)
            found["Envoy MB"] = pss_bytes(child.pid) / 1_000_000
            return found
        finally:
            child.terminate()
            await child.wait()


def _with_places(node: ProxyNode, folder: Path) -> ProxyNode:
    """Give a node files and ports of its own: no application is behind it."""
    return ProxyNode(
        node.pod,
        node.namespace,
        labels=node.labels,
        services=node.services,
        outbound_port=0,
        app_socket=str(folder / "app"),
        access_log=str(folder / "access.jsonl"),
    )


@asynccontextmanager
async def _serving(made: synthetic.Made, nodes: int) -> AsyncIterator[tuple[ControlPlane, str]]:
    """A control plane for a mesh, and the Unix socket at which it serves ADS."""
    with tempfile.TemporaryDirectory(prefix="mlb-") as folder:
        plane = ControlPlane(Store(Path(folder) / "store"), synthetic.ERA, registry=made.registry)
        plane.update(synthetic.resources(made))
        plane.add_pods([(synthetic.node(number), None) for number in range(nodes)])
        socket = str(Path(folder) / "ads")
        server = Server([plane.ads], codec=EncodingCodec())
        await server.start(path=socket, backlog=BACKLOG)
        try:
            yield plane, socket
        finally:
            server.close()
            await server.wait_closed()


def _since(began: float) -> float:
    return time.process_time() - began


def _check(reason: str) -> None:
    if reason:
        raise RuntimeError(reason)


async def _hold(socket: str, number: int, counts: dict[str, int]) -> None:
    """Be one client: ask, acknowledge, count the responses."""
    node = synthetic.node(number)
    asked: dict[str, set[str]] = {EDS: set(), RDS: set()}
    async with (
        Channel(path=socket) as channel,
        channel.request(
            METHOD, Cardinality.STREAM_STREAM, DeltaDiscoveryRequest, DeltaDiscoveryResponse
        ) as stream,
    ):

        async def send(url: str, **more: Any) -> None:
            await stream.send_message(DeltaDiscoveryRequest(type_url=url, **more))

        async def ask(url: str, names: set[str]) -> None:
            new, asked[url] = names - asked[url], asked[url] | names
            if new:
                await send(url, resource_names_subscribe=sorted(new))

        await send(CDS, node=node.to_xds())
        await send(LDS)
        async for response in stream:
            counts[node.id] = counts.get(node.id, 0) + 1
            await send(response.type_url, response_nonce=response.nonce)
            if response.type_url == CDS:
                await ask(EDS, {name for each in response.resources if (name := _eds_name(each))})
            elif response.type_url == LDS:
                await ask(RDS, {"http_proxy"})


def _eds_name(resource: Resource) -> str:
    """Return the name of a cluster of type EDS, ``""`` for another one.

    Reads the first two fields only (``name``, ``type``): five hundred clients share one process.
    """
    cluster = resource.resource.value if resource.resource is not None else b"\0\0"
    size, start = cluster[1], 2
    if size >= 0x80:  # a length of two bytes: seven bits each
        size, start = (size & 0x7F) | cluster[2] << 7, 3
    end = start + size
    return cluster[start:end].decode() if cluster[end : end + 2] == _TYPE_EDS else ""


async def _hold_all(socket: str, count: int) -> None:
    """Hold all streams until a line comes in, then print the counts."""
    counts: dict[str, int] = {}
    held = [asyncio.create_task(_hold(socket, number, counts)) for number in range(count)]
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    print(json.dumps(counts), flush=True)
    for each in held:
        each.cancel()
    await asyncio.gather(*held, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(_hold_all(sys.argv[1], int(sys.argv[2])))
