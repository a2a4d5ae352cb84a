"""The ADS server: hands every proxy its configuration, and knows what it took.

In a real mesh each Envoy holds one gRPC stream to istiod (Aggregated Discovery Service, state of
the world).  A response carries a version and a nonce; the proxy answers with the nonce and the
version now in force (ACK), or with ``error_detail`` (NACK) and keeps what it had.  The order is
CDS, EDS, LDS, RDS, and a cluster that is no longer named goes last, so no request falls between.
See it with ``meshctl proxy-status``.

Source: Envoy, "xDS REST and gRPC protocol" (api-docs/xds_protocol).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from envoy_data_plane.envoy.service.discovery.v3 import (
    AggregatedDiscoveryServiceBase,
    DiscoveryRequest,
    DiscoveryResponse,
)
from envoy_data_plane.google.protobuf import Any

from mesh.pilot.snapshot import CDS, EDS, LDS, PUSH_ORDER, RDS, PackedCache, Resources, Snapshot

_WILDCARD = (CDS, LDS)


@dataclass(slots=True)
class TypeState:
    """What one proxy has of one type: ``sent`` and ``acked`` versions, and the last refusal."""

    names: tuple[str, ...] = ()
    subscribed: bool = False
    nonce: str = ""
    sent: str = ""
    acked: str = ""
    nack: str = ""
    waiting: bool = False
    due: bool = False
    resources: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """Istio's words: SYNCED, STALE (sent, not acknowledged), NOT SENT, or NACK."""
        if self.nack:
            return "NACK"
        if not self.sent:
            return "NOT SENT"
        return "STALE" if self.waiting else "SYNCED"


class ProxyStream:
    """One open stream: what it should have (``snapshot``) and what it has (``types``)."""

    def __init__(self, node_id: str, cache: PackedCache, versions: itertools.count[int]) -> None:
        self.node_id = node_id
        self.types = {url: TypeState() for url in PUSH_ORDER}
        self.wake = asyncio.Event()
        self.closed = False
        self._cache = cache
        self._versions = versions
        self._snapshot: Snapshot = {}
        self._keep: Resources = {}

    def offer(self, snapshot: Snapshot) -> None:
        """Make ``snapshot`` what the proxy should have."""
        old = self._snapshot.get(CDS, {})
        new = snapshot.get(CDS, {})
        self._keep = {
            name: message for name, message in (self._keep | old).items() if name not in new
        }
        self._snapshot = snapshot
        for url in PUSH_ORDER:
            self.types[url].due = self.types[url].subscribed
        self.wake.set()

    def receive(self, request: DiscoveryRequest) -> None:
        """Take a subscription, an ACK or a NACK."""
        state = self.types.get(request.type_url)
        if state is None:
            return
        names = tuple(request.resource_names)
        current = request.response_nonce == state.nonce
        if request.response_nonce and not current:
            # An answer to an older response; only its list of names still counts.
            if names != state.names:
                state.names, state.due = names, True
        elif not state.subscribed or names != state.names:
            state.names, state.subscribed, state.due = names, True, True
        if current and state.waiting:
            state.waiting = False
            if request.error_detail is not None:
                state.nack = request.error_detail.message
            else:
                state.nack, state.acked = "", request.version_info
        self.wake.set()

    @property
    def settled(self) -> bool:
        """True when the proxy answered everything and nothing is left to send."""
        return not self._keep and not any(
            state.due or state.waiting for state in self.types.values() if state.subscribed
        )

    def next_response(self) -> DiscoveryResponse | None:
        """What to send now: one type at a time, each waiting for those before it."""
        for url in PUSH_ORDER:
            state = self.types[url]
            if state.waiting:
                return None
            if state.due:
                state.due = False
                response = self._response(url, state)
                if response is not None:
                    return response
        if self._keep and self.types[RDS].nack == "":
            self._keep = {}
            self.types[CDS].due = True
            return self.next_response()
        self._keep = {}
        return None

    def _response(self, url: str, state: TypeState) -> DiscoveryResponse | None:
        wanted: Resources = dict(self._snapshot.get(url, {}))
        if url == CDS:
            wanted |= self._keep
        elif url not in _WILDCARD:
            wanted = {name: wanted[name] for name in state.names if name in wanted}
        packed = {name: self._cache.pack(url, name, item) for name, item in wanted.items()}
        same = packed.keys() == state.resources.keys() and all(
            packed[name] is state.resources[name] or packed[name] == state.resources[name]
            for name in packed
        )
        if same and state.sent:
            return None
        changed = url in _WILDCARD and not same
        if changed:
            # A changed cluster (listener) warms until it is given its endpoints (routes) again.
            follower = self.types[EDS if url == CDS else RDS]
            follower.due = follower.subscribed
            follower.resources = {}
        state.resources = packed
        state.sent = state.nonce = str(next(self._versions))
        state.waiting = True
        return DiscoveryResponse(
            version_info=state.sent,
            nonce=state.nonce,
            type_url=url,
            resources=list(packed.values()),
        )


class AdsServer(AggregatedDiscoveryServiceBase):
    """All streams.  ``snapshots`` maps node id -> what that proxy should have."""

    def __init__(self) -> None:
        self.streams: dict[str, ProxyStream] = {}
        self.changed = asyncio.Condition()
        self._snapshots: dict[str, Snapshot] = {}
        self._cache = PackedCache()
        self._versions = itertools.count(1)

    def set_snapshot(self, node_id: str, snapshot: Snapshot) -> None:
        """Give a proxy its configuration, now or when it connects."""
        self._snapshots[node_id] = snapshot
        if node_id in self.streams:
            self.streams[node_id].offer(snapshot)

    def snapshot(self, node_id: str) -> Snapshot | None:
        """What ``node_id`` should have, None for an unknown proxy."""
        return self._snapshots.get(node_id)

    def forget(self, node_id: str) -> None:
        """The proxy is gone for good."""
        self._snapshots.pop(node_id, None)

    async def settled(self) -> None:
        """Return when every connected proxy answered everything that it was sent."""
        async with self.changed:
            await self.changed.wait_for(
                lambda: all(stream.settled for stream in self.streams.values())
            )

    async def stream_aggregated_resources(
        self, messages: AsyncIterator[DiscoveryRequest]
    ) -> AsyncIterator[DiscoveryResponse]:
        """Serve one proxy until it goes (Envoy's service definition)."""
        first = await anext(messages, None)
        if first is None or first.node is None:
            return
        stream = ProxyStream(first.node.id, self._cache, self._versions)
        self.streams[stream.node_id] = stream
        if (snapshot := self._snapshots.get(stream.node_id)) is not None:
            stream.offer(snapshot)
        stream.receive(first)
        reader = asyncio.create_task(self._read(stream, messages))
        try:
            while not stream.closed:
                stream.wake.clear()
                while (response := stream.next_response()) is not None:
                    yield response
                await self._notify()
                await stream.wake.wait()
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
            if self.streams.get(stream.node_id) is stream:
                del self.streams[stream.node_id]
            await self._notify()

    async def _read(self, stream: ProxyStream, messages: AsyncIterator[DiscoveryRequest]) -> None:
        try:
            async for request in messages:
                stream.receive(request)
        finally:
            stream.closed = True
            stream.wake.set()

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()
