"""The ADS server with a real gRPC client over a Unix socket, such as the mitmproxy sidecar's."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.service.discovery.v3 import (
    AggregatedDiscoveryServiceAsyncStub,
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)
from envoy_data_plane.google.rpc import Status
from grpclib import GRPCError
from grpclib.client import Channel
from grpclib.server import Server

from mesh.pilot.ads import AdsServer
from mesh.pilot.translate import CDS, EDS, LDS, RDS, Packed

LIMIT = 300
"""Seconds after which an answer is missing.  The first message of a process takes 2 s of CPU to read."""
Run = Callable[[AdsServer, str], Awaitable[None]]


def snapshot(cluster: str) -> Packed:
    clusters = {cluster: bytes(Cluster(name=cluster))}
    return {CDS: clusters, EDS: {}, LDS: {"l": bytes(Listener(name="l"))}, RDS: {}}


class Client:
    """One stream; requests are what is put into ``requests``."""

    def __init__(self, channel: Channel) -> None:
        self.requests: asyncio.Queue[DeltaDiscoveryRequest] = asyncio.Queue()
        stub = AggregatedDiscoveryServiceAsyncStub(channel)
        self.responses = stub.delta_aggregated_resources(self._sent())

    async def _sent(self) -> AsyncIterator[DeltaDiscoveryRequest]:
        while True:
            yield await self.requests.get()

    def subscribe(self, node: str) -> None:
        for url in (CDS, LDS):
            self.requests.put_nowait(DeltaDiscoveryRequest(type_url=url, node=Node(id=node)))

    async def take(self) -> DeltaDiscoveryResponse:
        return await anext(self.responses)

    def answer(self, response: DeltaDiscoveryResponse, error: str = "") -> None:
        request = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        if error:
            request.error_detail = Status(code=3, message=error)
        self.requests.put_nowait(request)


@asynccontextmanager
async def serving(ads: AdsServer) -> AsyncIterator[Callable[[], Channel]]:
    with tempfile.TemporaryDirectory(prefix="ads-") as folder:
        path = str(Path(folder) / "s")
        server = Server([ads])
        await server.start(path=path)
        channels: list[Channel] = []

        def connect() -> Channel:
            channels.append(Channel(path=path))
            return channels[-1]

        try:
            yield connect
        finally:
            for channel in channels:
                channel.close()
            server.close()
            await server.wait_closed()


def make() -> AdsServer:
    ads = AdsServer(lambda node: node.id if node.id == "n" else None)
    ads.publish("1", {"n": ("pod.ns", snapshot("a"))})
    return ads


async def settle(client: Client) -> None:
    client.subscribe("n")
    for _ in range(2):
        client.answer(await client.take())


def test_a_change_is_in_force_when_it_is_acknowledged() -> None:
    async def body() -> None:
        ads = make()
        async with serving(ads) as connect:
            client = Client(connect())
            await settle(client)
            assert (await ads.in_force(["n"], LIMIT, connected_only=False)).in_force
            assert ads.publish("2", {"n": ("pod.ns", snapshot("b"))}) == ["n"]
            waiting = asyncio.create_task(ads.in_force(None, LIMIT))
            response = await client.take()
            assert [each.name for each in response.resources] == ["b"]
            assert response.removed_resources == ["a"]
            assert not waiting.done()
            client.answer(response)
            assert (await waiting).in_force

    asyncio.run(body())


def test_a_refusal_comes_back_with_its_reason() -> None:
    async def body() -> None:
        ads = make()
        async with serving(ads) as connect:
            client = Client(connect())
            await settle(client)
            await ads.in_force(["n"], LIMIT, connected_only=False)
            ads.publish(
                "2", {"n": ("pod.ns", {**snapshot("a"), LDS: {"m": bytes(Listener(name="m"))}})}
            )
            waiting = asyncio.create_task(ads.in_force(None, LIMIT))
            client.answer(await client.take(), error="no such filter")
            outcome = await waiting
            assert not outcome.in_force
            assert outcome.nacks[0].reason == "no such filter"
            assert "pod.ns refused the configuration (LDS): no such filter" in outcome.reason

    asyncio.run(body())


def test_a_client_that_leaves_does_not_hang_the_change() -> None:
    async def body() -> None:
        ads = make()
        async with serving(ads) as connect:
            channel = connect()
            client = Client(channel)
            await settle(client)
            await ads.in_force(["n"], LIMIT, connected_only=False)
            ads.publish("2", {"n": ("pod.ns", snapshot("b"))})
            waiting = asyncio.create_task(ads.in_force(None, LIMIT))
            await client.take()
            channel.close()
            outcome = await waiting
            assert outcome.missing == ("pod.ns",)
            assert "disconnected before it acknowledged" in outcome.reason
            await client.responses.aclose()  # type: ignore[attr-defined]

    asyncio.run(body())


def test_an_answer_that_comes_while_the_time_runs_out_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        ads, loop = make(), asyncio.get_running_loop()
        now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: now)
        waiting = asyncio.create_task(ads.in_force(["n"], LIMIT, connected_only=False))
        await asyncio.sleep(0)
        loop.call_at(now + 11, ads.publish, "2", {}, ["n"])  # nobody is left to wait for
        now += 12  # a busy machine: both are due when the loop comes to look
        assert (await waiting).in_force

    asyncio.run(body())


def test_nothing_is_pushed_when_nothing_changed() -> None:
    ads = make()
    assert ads.publish("2", {"n": ("pod.ns", snapshot("a"))}) == []


def test_an_unknown_node_is_refused() -> None:
    async def body() -> None:
        async with serving(make()) as connect:
            client = Client(connect())
            client.subscribe("stranger")
            with pytest.raises(GRPCError, match="no pod is registered"):
                await client.take()

    asyncio.run(body())
