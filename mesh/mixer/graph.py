"""The service graph: who calls whom in the mesh, how often, how well, and with which split.

In a real mesh Kiali draws it of Istio's metrics.  Nodes are workloads with their version (or a
service, for requests that no endpoint answered); an edge is what one side saw: the client's
sidecar where there is one, else the server's.  ``share`` is the traffic split: the part of a
source's requests to one service that this version got.  Mirrored copies are edges of their own,
which nobody waited for.  No Istio field sets it.  Shown by ``meshctl graph`` and ``meshctl top``.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

from mesh.accesslog import AccessLogRecord
from mesh.mixer.exchange import Parties
from mesh.mixer.percentile import bucket, percentile
from mesh.mixer.workloads import NOBODY, UNKNOWN, Workload

SECONDS_KEPT = 600
"""Seconds for which a graph of a shorter time can be asked for; older ones only count as a whole."""
MAX_EDGES = 5_000
WORKLOAD, SERVICE, GATEWAY, OUTSIDE = "workload", "service", "gateway", "outside"


@dataclass(frozen=True, slots=True)
class Node:
    """A corner of the graph.  ``id`` is unique; ``kind`` workload, service, gateway or outside.

    ``service`` is the host name that the workload serves, ``""`` for none.
    """

    id: str
    kind: str
    name: str
    namespace: str
    app: str
    version: str
    service: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """Requests from one node to another.

    ``requests`` and ``errors`` (no answer, or 5xx) are counts, ``rate`` requests a second,
    ``tries`` counts every try that went out, retries too; ``error_rate`` and ``share`` from 0 to 1, ``p50`` and ``p99`` milliseconds.  ``mtls`` is True,
    False, or None when no server's sidecar reported; ``flags`` counts Envoy's response flags,
    ``codes`` the status codes.  ``mirrored`` copies have share 0.
    """

    source: str
    destination: str
    service: str
    requests: int
    errors: int
    rate: float
    error_rate: float
    share: float
    p50: float
    p99: float
    mtls: bool | None
    mirrored: bool
    codes: dict[str, int]
    flags: dict[str, int]
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and edges, sorted; ``since`` and ``until`` are the first and last request (Unix time).

    ``records`` were read in all; of those only the newest are kept one by one, ``forgotten`` are
    not (they still count here).
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    since: float
    until: float
    records: int = 0
    forgotten: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Graph:
        """Read ``as_dict``'s form."""
        fields = dict(data)
        fields["nodes"] = tuple(Node(**each) for each in data["nodes"])
        fields["edges"] = tuple(Edge(**each) for each in data["edges"])
        return cls(**fields)


@dataclass(slots=True)
class _Tally:
    """Counts of one edge in some time."""

    requests: int = 0
    errors: int = 0
    durations: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    secure: int = 0
    plain: int = 0

    def add(self, other: _Tally) -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.durations += other.durations
        self.codes += other.codes
        self.flags += other.flags
        self.secure += other.secure
        self.plain += other.plain

    def count(self, record: AccessLogRecord) -> None:
        code = record.response_code
        self.requests += 1
        self.errors += code == 0 or code >= 500
        self.durations[bucket(record.duration)] += 1
        self.codes[str(code)] += 1
        for flag in record.response_flags.split(",") if record.response_flags else ():
            self.flags[flag] += 1

    def count_security(self, mtls: bool) -> None:
        if mtls:
            self.secure += 1
        else:
            self.plain += 1


@dataclass(frozen=True, slots=True, eq=False)
class _Key:
    """What makes an edge; there is one object for each, so that looking it up is quick."""

    source: Node
    destination: Node
    service: str
    mirrored: bool


def node_of(workload: Workload) -> Node:
    """Return the node of a workload; pods of one version are one node."""
    if workload is NOBODY:
        return Node("outside", OUTSIDE, "outside", "", "", "")
    kind = GATEWAY if workload.kind == "router" else WORKLOAD
    name = f"{workload.workload}.{workload.namespace}"
    version = "" if workload.version == UNKNOWN else workload.version
    return Node(
        f"{kind}:{name}:{version}",
        kind,
        workload.workload,
        workload.namespace,
        workload.app,
        version,
        workload.service,
    )


def service_node(parties: Parties) -> Node:
    """Return the node of a service of which no endpoint was reached."""
    name, namespace = parties.service_name, parties.service_namespace
    app = name if name != UNKNOWN else ""
    return Node(f"{SERVICE}:{parties.service}", SERVICE, name, namespace, app, "", parties.service)


class GraphStore:
    """Counts per edge: as a whole, and by second for the newest ``SECONDS_KEPT``."""

    def __init__(self) -> None:
        self._whole: dict[_Key, _Tally] = {}
        self._seconds: deque[tuple[int, dict[_Key, _Tally]]] = deque()
        self._edges: dict[tuple[Node, Node, str, bool], _Key] = {}
        self._keys: dict[int, tuple[Parties, _Key]] = {}
        self._first = self._last = 0.0
        self.dropped = 0

    def add(self, record: AccessLogRecord, parties: Parties, moment: float) -> None:
        """Count ``record``, which began at ``moment`` (Unix time)."""
        self._first = min(self._first or moment, moment)
        self._last = max(self._last, moment)
        key = self._key(parties)
        if key is None:
            self.dropped += 1
            return
        for tallies in self._tallies(moment):
            tally = tallies.get(key)
            if tally is None:
                tally = tallies[key] = _Tally()
            if parties.reporter == "destination":
                tally.count_security(bool(parties.mtls))
            # Each request is told twice; its client's word counts, where the client has a sidecar.
            client_tells = parties.source.kind != "" and not parties.mirrored
            if (parties.reporter == "source") == client_tells:
                tally.count(record)

    def _key(self, parties: Parties) -> _Key | None:
        """Return the edge of a request; None when there is no room for another one."""
        known = self._keys.get(id(parties))
        if known is None or known[0] is not parties:
            destination = parties.destination
            target = service_node(parties) if destination is NOBODY else node_of(destination)
            parts = (node_of(parties.source), target, parties.service, parties.mirrored)
            if parts not in self._edges and len(self._edges) >= MAX_EDGES:
                return None
            key = self._edges.setdefault(parts, _Key(*parts))
            if len(self._keys) >= MAX_EDGES:
                self._keys.clear()
            known = self._keys[id(parties)] = (parties, key)
        return known[1]

    def _tallies(self, moment: float) -> list[dict[_Key, _Tally]]:
        second = int(moment)
        seconds = self._seconds
        if not seconds or second > seconds[-1][0]:
            seconds.append((second, {}))
            while seconds and seconds[0][0] <= second - SECONDS_KEPT:
                seconds.popleft()
        for number, tallies in reversed(seconds):
            if number == second:
                return [self._whole, tallies]
            if number < second:
                break
        if second < seconds[0][0]:
            return [self._whole]
        # Logs of several pods are read one after another: an earlier second may come late.
        position = sum(number < second for number, _ in seconds)
        seconds.insert(position, (second, {}))
        return [self._whole, seconds[position][1]]

    def graph(self, seconds: float = 0.0, records: int = 0, forgotten: int = 0) -> Graph:
        """Return the graph of the last ``seconds`` before the newest request; 0: of all time."""
        chosen, since = self._whole, self._first
        if seconds:
            since = max(self._first, self._last - seconds)
            chosen = {}
            for second, tallies in self._seconds:
                if second >= int(since):
                    for key, tally in tallies.items():
                        chosen.setdefault(key, _Tally()).add(tally)
        lasted = max(self._last - since, 1.0)
        totals: Counter[tuple[Node, str]] = Counter()
        for key, tally in chosen.items():
            totals[key.source, key.service] += 0 if key.mirrored else tally.requests
        edges = [
            _edge(key, tally, lasted, totals[key.source, key.service])
            for key, tally in chosen.items()
            if tally.requests
        ]
        nodes = {
            each.id: each
            for key, tally in chosen.items()
            if tally.requests
            for each in (key.source, key.destination)
        }
        return Graph(
            tuple(nodes[name] for name in sorted(nodes)),
            tuple(sorted(edges, key=lambda each: (each.source, each.destination, each.mirrored))),
            since,
            self._last,
            records,
            forgotten,
        )


def _edge(key: _Key, tally: _Tally, lasted: float, total: int) -> Edge:
    known = tally.secure + tally.plain
    return Edge(
        source=key.source.id,
        destination=key.destination.id,
        service=key.service,
        requests=tally.requests,
        errors=tally.errors,
        rate=tally.requests / lasted,
        error_rate=tally.errors / tally.requests,
        share=0.0 if key.mirrored or not total else tally.requests / total,
        p50=percentile(tally.durations, 0.5),
        p99=percentile(tally.durations, 0.99),
        mtls=tally.plain == 0 if known else None,
        mirrored=key.mirrored,
        codes=dict(sorted(tally.codes.items())),
        flags=dict(sorted(tally.flags.items())),
        tries=max(tally.requests, known),
    )
