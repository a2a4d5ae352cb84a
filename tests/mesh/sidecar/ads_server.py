"""A real control plane (grpclib) for one sidecar: the test says what is sent, and waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

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

import mesh.sidecar.xds  # noqa: F401  registers the types inside Any

TYPE = "type.googleapis.com/"
KINDS: dict[str, Any] = {
    TYPE + "envoy.config.cluster.v3.Cluster": Cluster,
    TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment": ClusterLoadAssignment,
    TYPE + "envoy.config.listener.v3.Listener": Listener,
    TYPE + "envoy.config.route.v3.RouteConfiguration": RouteConfiguration,
}
CDS, EDS, LDS, RDS = KINDS


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
