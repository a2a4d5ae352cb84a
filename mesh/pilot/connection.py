"""Connection: the state of one sidecar's ADS stream, and what to send next.

Incremental xDS, as istiod's sidecars speak it: a response carries the resources that changed and the
names of those that are gone, so a change costs what it touches.  A client asks for clusters and
listeners as they come, for endpoints and routes by name.
Order (make before break, Envoy "Eventual consistency considerations"): new clusters next to the old
ones, their endpoints, listeners, routes, and only then the old clusters go.  Each step waits for the
answer to the one before, so that no route points to a cluster that is still warming.
A pure state machine: requests go in, responses come out; ``mesh.pilot.ads`` does the transport.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from hashlib import blake2b

from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    Resource,
)
from envoy_data_plane.google.protobuf import Any

from mesh.pilot.status import Nack, NodeStatus, TypeState
from mesh.pilot.translate import CDS, EDS, LDS, RDS, SHORT, TYPES, Packed

BY_NAME = (EDS, RDS)
"""The types that a client asks for by name; of the others it gets all there are."""
_UNKNOWN = b""
"""What a client has that came with another version."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a node should have: the version and the packed resources."""

    version: str
    packed: Packed

    def needed(self, url: str) -> AbstractSet[str]:
        """Return what a client has to ask for by name: for its clusters, for its listeners."""
        if url == RDS and not self.packed[LDS]:
            return frozenset()
        return self.packed[url].keys() if url in BY_NAME else frozenset()


@dataclass(slots=True)
class Connection:
    """One stream.  ``number`` makes its nonces unique; ``aim`` gives it another target."""

    number: int
    node_id: str
    name: str
    engine: str
    target: Target
    states: dict[str, TypeState] = field(
        default_factory=lambda: {url: TypeState() for url in TYPES}
    )
    nonces: int = 0

    def aim(self, target: Target, changed: Mapping[str, AbstractSet[str]]) -> None:
        """Change what the node should have; ``changed``: ``differences`` from what it was."""
        self.target = target
        for url, names in changed.items():
            state = self.states[url]
            if state.requested:
                state.todo |= names & state.names if url in BY_NAME else names
            self._see_names(url)

    def receive(self, request: DeltaDiscoveryRequest) -> None:
        """Note a request: a first one, an acknowledgement, a refusal, or other names."""
        url = request.type_url
        state = self.states.get(url)
        if state is None:
            return
        if not state.requested:
            state.requested = True
            self._recall(url, request.initial_resource_versions)
        if url in BY_NAME:
            self._change_names(
                url, request.resource_names_subscribe, request.resource_names_unsubscribe
            )
        names = state.in_flight.pop(request.response_nonce, None)
        if names is None:
            return  # no answer, or one to somebody else
        newest = request.response_nonce == state.nonce
        if request.error_detail is not None:
            # It has nothing of what it refused.  That is sent again with what comes next; if that
            # is on its way already, at once.
            (state.refused if newest else state.due).update(names)
        if newest:
            state.answered = True
            state.error = "" if request.error_detail is None else request.error_detail.message

    def next_response(self) -> DeltaDiscoveryResponse | None:
        """Return what may be sent now; None when there is nothing, or an answer is awaited."""
        clusters = self.states[CDS]
        if not clusters.requested:
            return self._first_requested()
        new = self._open(CDS)
        leaving = new - self.target.packed[CDS].keys()
        if leaving and not self._others_settled():
            new = new - leaving
        if new or not clusters.nonce:
            return self._respond(CDS, new)
        for url in (EDS, LDS, RDS):
            if url != EDS and not clusters.answered:
                return None  # Envoy acknowledges clusters only after it has their endpoints
            state = self.states[url]
            new = self._open(url)
            if state.requested and (new or not state.nonce):
                return self._respond(url, new)
            if not self._settled(url):
                return None
        return None

    @property
    def in_force(self) -> bool:
        """True when the node answered everything that its target holds."""
        clusters = self.states[CDS]
        answered = bool(clusters.nonce) and clusters.answered
        return answered and not self._open(CDS) and self._others_settled()

    def nacks(self) -> tuple[Nack, ...]:
        """Return the refusals of what was sent last."""
        return tuple(
            Nack(self.name, SHORT[url], state.error)
            for url, state in self.states.items()
            if state.error
        )

    def status(self) -> NodeStatus:
        """Return the node's row of ``proxy-status``."""
        words = {SHORT[url]: state.word for url, state in self.states.items()}
        return NodeStatus(self.name, True, self.target.version, words, self.nacks())

    def _first_requested(self) -> DeltaDiscoveryResponse | None:
        """Serve a client that does not begin with CDS (it has to ask for it some time)."""
        for url in (LDS, RDS, EDS):
            state = self.states[url]
            if state.requested and not state.nonce:
                return self._respond(url, self._open(url))
        return None

    def _recall(self, url: str, versions: dict[str, str]) -> None:
        """Note what a client has already that comes back."""
        state, resources = self.states[url], self.target.packed[url]
        for name, version in versions.items():
            content = resources.get(name)
            known = content is not None and version_of(content) == version
            state.sent[name] = content if known and content is not None else _UNKNOWN
        if url not in BY_NAME:
            state.todo |= resources.keys() | versions.keys()

    def _change_names(self, url: str, subscribe: Iterable[str], unsubscribe: Iterable[str]) -> None:
        state = self.states[url]
        added, gone = frozenset(subscribe), frozenset(unsubscribe)
        for name in gone | (added & state.names):
            state.sent.pop(name, None)  # the client has forgotten it, also if it asks once more
        for names in (state.todo, state.due, state.refused):
            names -= gone
        state.todo |= added
        # Who asks for what does not exist is told so, and does not wait for it.
        state.due |= added - self.target.packed[url].keys() - state.sent.keys()
        if added or gone:
            state.names = (state.names - gone) | added
            self._see_names(url)

    def _see_names(self, url: str) -> None:
        self.states[url].asked = self.target.needed(url) <= self.states[url].names

    def _open(self, url: str) -> set[str]:
        """Return the names of what the node does not have as it should."""
        state, resources = self.states[url], self.target.packed[url]
        if state.todo:
            state.todo = {
                name
                for name in state.todo
                if resources.get(name) != state.sent.get(name)
                # Endpoints and routes of what goes stay until nobody asks for them.
                and (name in resources or url not in BY_NAME)
            }
        return state.todo | state.due if state.due else state.todo

    def _settled(self, url: str) -> bool:
        """True when the node answered this type's content, and asked for all that it needs."""
        state = self.states[url]
        leader = {EDS: CDS, RDS: LDS}.get(url)
        asked = state.asked or (leader is not None and bool(self.states[leader].error))
        if not state.requested:
            return url != LDS and asked
        return bool(state.nonce) and state.answered and not self._open(url) and asked

    def _others_settled(self) -> bool:
        return all(self._settled(url) for url in (EDS, LDS, RDS))

    def _respond(self, url: str, names: set[str]) -> DeltaDiscoveryResponse:
        state, resources = self.states[url], self.target.packed[url]
        sent = names | state.refused
        changed = sorted(sent & resources.keys())
        removed = sorted(sent - resources.keys())
        self.nonces += 1
        state.nonce = f"{self.number}-{self.nonces}"
        state.in_flight[state.nonce] = frozenset(sent)
        # A changed cluster (listener) warms until it gets its endpoints (routes) again.
        if url == CDS:
            self.states[EDS].due |= self.states[EDS].sent.keys() & changed
        elif url == LDS and changed:
            self.states[RDS].due |= self.states[RDS].sent.keys()
        state.sent.update((name, resources[name]) for name in changed)
        for name in removed:
            state.sent.pop(name, None)
        state.todo = state.todo - sent
        state.due, state.refused = set(), set()
        state.answered = False
        return DeltaDiscoveryResponse(
            system_version_info=self.target.version,
            type_url=url,
            nonce=state.nonce,
            resources=[
                Resource(
                    name=name,
                    version=version_of(resources[name]),
                    resource=Any(type_url=url, value=resources[name]),
                )
                for name in changed
            ],
            removed_resources=removed,
        )


def differences(old: Packed, new: Packed) -> dict[str, set[str]]:
    """Return by type the names of what is there on one side only, or differs."""
    found: dict[str, set[str]] = {}
    for url in TYPES:
        before, after = old[url], new[url]
        if before != after:
            found[url] = {name for name, value in after.items() if before.get(name) != value}
            found[url] |= before.keys() - after.keys()
    return found


def version_of(content: bytes) -> str:
    """Return the version of a resource: of its content, so that a new control plane knows it too."""
    return blake2b(content, digest_size=8).hexdigest()
