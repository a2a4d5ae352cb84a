"""ADS: one gRPC stream a sidecar, over which it gets clusters, endpoints, listeners and routes.

In a real mesh istiod serves it; ``istioctl proxy-status`` shows who accepted what.  A client
acknowledges a response (ACK: its nonce) or refuses it (NACK: its nonce and ``error_detail``).  Only
the incremental variant is served, Istio's default since 1.22: what did not change is not sent.
Source: Envoy, "xDS REST and gRPC protocol".  Shown by ``meshctl proxy-status``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.service.discovery.v3 import (
    AggregatedDiscoveryServiceBase,
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)
from grpclib import GRPCError
from grpclib.const import Status

from mesh.pilot.connection import Connection, Target, differences
from mesh.pilot.status import Nack, NodeStatus
from mesh.pilot.translate import Packed


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
        self._behind: set[str] = set()
        self._refusing: set[str] = set()

    def publish(
        self,
        version: str,
        targets: Mapping[str, tuple[str, Packed]],
        gone: Iterable[str] = (),
    ) -> list[str]:
        """Set targets: node id -> (name, resources).  Returns the ids whose content changed.

        The nodes ``gone`` are forgotten and their streams end; all others stay as they are.
        """
        changed: list[str] = []
        for node_id, (name, packed) in targets.items():
            old = self._targets.get(node_id)
            self._names[node_id] = name
            differing = differences(old.packed, packed) if old is not None else {}
            if old is not None and not differing:
                continue
            self._targets[node_id] = Target(version, packed)
            changed.append(node_id)
            if node_id in self._streams:
                self._streams[node_id].connection.aim(self._targets[node_id], differing)
                self._streams[node_id].wake.set()
            self._judge(node_id)
        for node_id in gone:
            self._targets.pop(node_id, None)
            if node_id in self._streams:
                self._streams[node_id].closed = True
                self._streams[node_id].wake.set()
            self._judge(node_id)
        return changed

    async def in_force(
        self, nodes: Collection[str] | None, timeout: float, connected_only: bool = True
    ) -> Outcome:
        """Wait until ``nodes`` (None: all) answered everything they have to have.

        With ``connected_only`` a node without a stream is left out (it gets its configuration when
        it comes), one that leaves meanwhile is reported in ``missing``.  ``timeout`` in seconds.
        """
        asked = self._behind | self._refusing if nodes is None else nodes
        wanted = {each for each in asked if each in self._targets}
        if connected_only:
            wanted = {each for each in wanted if each in self._streams}
        lost: set[str] = set()
        try:
            async with asyncio.timeout(timeout):
                while True:
                    self._changed.clear()
                    if connected_only:
                        lost |= {each for each in wanted if each not in self._streams}
                    if not (wanted - lost) & self._behind:
                        break
                    await self._changed.wait()
        except TimeoutError:
            late = sorted((wanted - lost) & self._behind)
            if late:  # otherwise the last answer came while the time ran out
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

    async def delta_aggregated_resources(
        self, messages: AsyncIterator[DeltaDiscoveryRequest]
    ) -> AsyncIterator[DeltaDiscoveryResponse]:
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
                self._judge(connection.node_id)
                await stream.wake.wait()
        finally:
            reader.cancel()
            if self._streams.get(connection.node_id) is stream:
                del self._streams[connection.node_id]
            self._judge(connection.node_id)

    def _open(self, first: DeltaDiscoveryRequest) -> _Stream:
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
        self._judge(node_id)
        if old is not None:
            old.closed = True
            old.wake.set()
        return stream

    async def _read(self, stream: _Stream, messages: AsyncIterator[DeltaDiscoveryRequest]) -> None:
        try:
            async for request in messages:
                stream.connection.receive(request)
                stream.wake.set()
                self._judge(stream.connection.node_id)
        finally:
            stream.closed = True
            stream.wake.set()

    def _judge(self, node_id: str) -> None:
        """Note whether a node is behind its target, or refuses something, and tell who waits."""
        stream = self._streams.get(node_id)
        known = node_id in self._targets
        in_force = stream is not None and stream.connection.in_force
        refuses = stream is not None and bool(stream.connection.nacks())
        (self._behind.add if known and not in_force else self._behind.discard)(node_id)
        (self._refusing.add if known and refuses else self._refusing.discard)(node_id)
        self._changed.set()
