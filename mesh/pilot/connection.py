"""Connection: the state of one sidecar's ADS stream, and what to send next.

State of the world: every response carries all resources of its type.  Order (make before break,
Envoy "Eventual consistency considerations"): new clusters next to the old ones, their endpoints,
listeners, routes, and only then the old clusters go.  Each step waits for the answer to the one
before, so that no route points to a cluster that is still warming.
A pure state machine: requests go in, responses come out; ``mesh.pilot.ads`` does the transport.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest, DiscoveryResponse
from envoy_data_plane.google.protobuf import Any

from mesh.pilot.status import Nack, NodeStatus, TypeState
from mesh.pilot.translate import CDS, EDS, LDS, RDS, SHORT, TYPES, Packed


@dataclass(frozen=True, slots=True)
class Target:
    """What a node should have: the version and the packed resources.

    ``eds_names``: clusters whose endpoints come by EDS; ``rds_names``: route tables by RDS.
    """

    version: str
    packed: Packed
    eds_names: frozenset[str]
    rds_names: frozenset[str]


@dataclass(slots=True)
class Connection:
    """One stream.  ``number`` makes its nonces unique."""

    number: int
    node_id: str
    name: str
    engine: str
    target: Target
    states: dict[str, TypeState] = field(
        default_factory=lambda: {url: TypeState() for url in TYPES}
    )
    nonces: int = 0
    _contents: dict[str, tuple[Target, frozenset[str], dict[str, bytes]]] = field(
        default_factory=dict
    )

    def receive(self, request: DiscoveryRequest) -> None:
        """Note a request: a first one, an acknowledgement, a refusal, or new names."""
        state = self.states.get(request.type_url)
        if state is None:
            return
        stale = request.response_nonce != state.nonce
        if stale and state.requested and request.response_nonce:
            return  # an answer to an older response; the one to the newest will come
        state.requested = True
        state.names = frozenset(request.resource_names) or None
        if stale or not request.response_nonce:
            return
        state.answered = True
        if request.error_detail is not None:
            state.error = request.error_detail.message
        else:
            state.error = ""
            state.acked_version = request.version_info

    def next_response(self) -> DiscoveryResponse | None:
        """Return what may be sent now; None when there is nothing, or an answer is awaited."""
        clusters = self.states[CDS]
        if not clusters.requested:
            return self._first_requested()
        final = self.target.packed[CDS]
        old = clusters.sent or {}
        wanted = final if self._others_settled() else {**old, **final}
        if clusters.sent != wanted:
            return self._respond(CDS, wanted)
        for url in (EDS, LDS, RDS):
            if url != EDS and not clusters.answered:
                return None  # Envoy acknowledges clusters only after it has their endpoints
            state = self.states[url]
            content = self._content(url)
            if state.requested and (state.due or state.sent != content):
                return self._respond(url, content)
            if not self._settled(url):
                return None
        return None

    @property
    def in_force(self) -> bool:
        """True when the node answered everything that its target holds."""
        clusters = self.states[CDS]
        return (
            clusters.requested
            and clusters.answered
            and clusters.sent == self.target.packed[CDS]
            and self._others_settled()
        )

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

    def _first_requested(self) -> DiscoveryResponse | None:
        """Serve a client that does not begin with CDS (it has to ask for it some time)."""
        for url in (LDS, RDS, EDS):
            state = self.states[url]
            if state.requested and state.sent is None:
                return self._respond(url, self._content(url))
        return None

    def _content(self, url: str) -> dict[str, bytes]:
        """Return what a response of this type holds now: all, or the names asked for."""
        state = self.states[url]
        resources = self.target.packed[url]
        if state.names is None or url == LDS:
            return resources
        target, names, content = self._contents.get(url, (None, None, {}))
        if target is self.target and names is state.names:
            return content
        old = state.sent or {}
        chosen = {name: resources.get(name, old.get(name)) for name in sorted(state.names)}
        content = {name: found for name, found in chosen.items() if found is not None}
        self._contents[url] = (self.target, state.names, content)
        return content

    def _settled(self, url: str) -> bool:
        """True when the node answered this type's content, and asked for all that it needs."""
        state = self.states[url]
        needed: frozenset[str] = frozenset()
        if url == EDS and not self.states[CDS].error:
            needed = self.target.eds_names
        elif url == RDS and not self.states[LDS].error:
            needed = self.target.rds_names
        if not state.requested:
            return url != LDS and not needed
        if not state.answered or state.due or state.sent != self._content(url):
            return False
        return state.names is None or needed <= state.names

    def _others_settled(self) -> bool:
        return all(self._settled(url) for url in (EDS, LDS, RDS))

    def _respond(self, url: str, content: dict[str, bytes]) -> DiscoveryResponse:
        state = self.states[url]
        self.nonces += 1
        state.nonce = f"{self.number}-{self.nonces}"
        follower = {CDS: EDS, LDS: RDS}.get(url)
        if follower and content.items() - (state.sent or {}).items():
            # A changed cluster (listener) warms until it gets its endpoints (routes) again.
            self.states[follower].due = self.states[follower].sent is not None
        state.due = False
        state.sent = dict(content)
        state.sent_version = self.target.version
        state.answered = False
        return DiscoveryResponse(
            version_info=self.target.version,
            type_url=url,
            nonce=state.nonce,
            resources=[Any(type_url=url, value=value) for value in content.values()],
        )
