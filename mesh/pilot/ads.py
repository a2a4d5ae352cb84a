"""ADS: one gRPC stream a sidecar, over which it gets clusters, endpoints, listeners and routes.

In a real mesh istiod serves it; ``istioctl proxy-status`` shows who accepted what.  A client
acknowledges (ACK: same nonce, new version) or refuses (NACK: the nonce and ``error_detail``).
Source: Envoy, "xDS REST and gRPC protocol".  Shown by ``meshctl proxy-status``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.service.discovery.v3 import (
    AggregatedDiscoveryServiceBase,
    DiscoveryRequest,
    DiscoveryResponse,
)
from grpclib import GRPCError
from grpclib.const import Status

from mesh.pilot.connection import Connection, Packed, Target
from mesh.pilot.encode import encode
from mesh.pilot.status import Nack, NodeStatus
from mesh.pilot.translate import CDS, EDS, LDS, RDS, Snapshot


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a push led to: ``in_force`` everywhere, or refusals, or nodes that did not answer."""

    in_force: bool
    nacks: tuple[Nack, ...] = ()
    missing: tuple[str, ...] = ()
    reason: str = ""


@dataclass(slots=True)
class _Stream:
    connection: Connection
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False


class AdsServer(AggregatedDiscoveryServiceBase):
    """Serves the target of each node and knows who has it in force.

    ``identify`` turns an xDS node into the id of a registered one, or None (the stream is refused).
    """

    def __init__(self, identify: Callable[[Node], str | None]) -> None:
        self._identify = identify
        self._targets: dict[str, Target] = {}
        self._names: dict[str, str] = {}
        self._streams: dict[str, _Stream] = {}
        self._changed: asyncio.Event = asyncio.Event()
        self._number = 0

    def publish(self, version: str, snapshots: Mapping[str, tuple[str, Snapshot]]) -> list[str]:
        """Set the targets: node id -> (name, snapshot).  Returns the ids whose content changed.

        Nodes that are not among them are forgotten and their streams end.
        """
        cache: dict[int, bytes] = {}
        changed: list[str] = []
        for node_id, (name, snapshot) in snapshots.items():
            packed: Packed = {
                url: {key: _encode(message, cache) for key, message in resources.items()}
                for url, resources in snapshot.items()
            }
            old = self._targets.get(node_id)
            self._names[node_id] = name
            if old is not None and old.packed == packed:
                continue
            eds, rds = _needed(snapshot)
            self._targets[node_id] = Target(version, packed, eds, rds)
            changed.append(node_id)
            if node_id in self._streams:
                self._streams[node_id].connection.target = self._targets[node_id]
                self._streams[node_id].wake.set()
        for node_id in set(self._targets) - set(snapshots):
            del self._targets[node_id]
            if node_id in self._streams:
                self._streams[node_id].closed = True
                self._streams[node_id].wake.set()
        self._notify()
        return changed

    async def in_force(
        self, nodes: Collection[str] | None, timeout: float, connected_only: bool = True
    ) -> Outcome:
        """Wait until ``nodes`` (None: all) answered everything they have to have.

        With ``connected_only`` a node without a stream is left out (it gets its configuration when
        it comes), one that leaves meanwhile is reported in ``missing``.  ``timeout`` in seconds.
        """
        wanted = set(self._targets if nodes is None else nodes) & set(self._targets)
        if connected_only:
            wanted &= set(self._streams)
        lost: set[str] = set()
        try:
            async with asyncio.timeout(timeout):
                while True:
                    self._changed.clear()
                    if connected_only:
                        lost |= wanted - set(self._streams)
                    if all(self._is_in_force(each) for each in wanted - lost):
                        break
                    await self._changed.wait()
        except TimeoutError:
            late = sorted(each for each in wanted - lost if not self._is_in_force(each))
            names = [self._names.get(each, each) for each in late]
            reason = (
                f"{', '.join(names)} did not acknowledge the configuration within {timeout:g} s: "
                "see what it is waiting for with meshctl proxy-status."
            )
            return Outcome(False, self.nacks(wanted), tuple(names), reason)
        names = sorted(self._names.get(each, each) for each in lost)
        nacks = self.nacks(wanted)
        if lost:
            reason = f"{', '.join(names)} disconnected before it acknowledged the configuration."
            return Outcome(False, nacks, tuple(names), reason)
        if nacks:
            reason = (
                f"{nacks[0].node} refused the configuration ({nacks[0].type}): {nacks[0].reason}"
            )
            return Outcome(False, nacks, (), reason)
        return Outcome(True)

    def nacks(self, nodes: Iterable[str]) -> tuple[Nack, ...]:
        """Return the refusals that stand at these nodes."""
        streams = [self._streams[each] for each in sorted(nodes) if each in self._streams]
        return tuple(nack for stream in streams for nack in stream.connection.nacks())

    def status(self) -> list[NodeStatus]:
        """Return a row for each registered node."""
        rows: list[NodeStatus] = []
        for node_id in sorted(self._targets):
            stream = self._streams.get(node_id)
            name = self._names[node_id]
            row = stream.connection.status() if stream else NodeStatus(name, False)
            rows.append(replace(row, name=name))
        return rows

    def connected(self) -> dict[str, str]:
        """Return node id -> engine (``envoy``, or what the client calls itself)."""
        return {each: stream.connection.engine for each, stream in self._streams.items()}

    async def stream_aggregated_resources(
        self, messages: AsyncIterator[DiscoveryRequest]
    ) -> AsyncIterator[DiscoveryResponse]:
        """Serve one client until it leaves."""
        first = await anext(messages, None)
        if first is None:
            return
        stream = self._open(first)
        connection = stream.connection
        reader = asyncio.create_task(self._read(stream, messages))
        try:
            while not stream.closed:
                stream.wake.clear()
                while (response := connection.next_response()) is not None:
                    yield response
                self._notify()
                await stream.wake.wait()
        finally:
            reader.cancel()
            if self._streams.get(connection.node_id) is stream:
                del self._streams[connection.node_id]
            self._notify()

    def _open(self, first: DiscoveryRequest) -> _Stream:
        node = first.node or Node()
        node_id = self._identify(node)
        if node_id is None or node_id not in self._targets:
            raise GRPCError(Status.NOT_FOUND, f'no pod is registered for the node "{node.id}"')
        self._number += 1
        target = self._targets[node_id]
        name = self._names[node_id]
        connection = Connection(self._number, node_id, name, node.user_agent_name, target)
        connection.receive(first)
        stream = _Stream(connection)
        old = self._streams.get(node_id)
        self._streams[node_id] = stream
        if old is not None:
            old.closed = True
            old.wake.set()
        return stream

    async def _read(self, stream: _Stream, messages: AsyncIterator[DiscoveryRequest]) -> None:
        try:
            async for request in messages:
                stream.connection.receive(request)
                stream.wake.set()
                self._notify()
        finally:
            stream.closed = True
            stream.wake.set()

    def _is_in_force(self, node_id: str) -> bool:
        stream = self._streams.get(node_id)
        return stream is not None and stream.connection.in_force

    def _notify(self) -> None:
        self._changed.set()


def _encode(message: Message, cache: dict[int, bytes]) -> bytes:
    """Encode a message once for all nodes that share it (the snapshots keep it alive)."""
    found = cache.get(id(message))
    if found is None:
        found = cache[id(message)] = encode(message)
    return found


def _needed(snapshot: Snapshot) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that a client will ask for: by EDS for its clusters, by RDS."""
    eds = frozenset(
        name
        for name, cluster in snapshot[CDS].items()
        if isinstance(cluster, Cluster) and cluster.type == ClusterDiscoveryType.EDS
    )
    routes = frozenset(snapshot[RDS]) if snapshot[LDS] else frozenset()
    return eds & frozenset(snapshot[EDS]), routes
