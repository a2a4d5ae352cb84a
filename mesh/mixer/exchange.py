"""Exchange: an access log record with names: who asked whom for what, as seen from which side.

``reporter`` is Istio's label: ``source`` is what a client's sidecar (or a gateway) says about a
request it sent, ``destination`` what the server's sidecar says about one it received.  Attempts
and mirrored copies are one request at the source and several at the destinations.
Source: istio/proxy ``source/extensions/filters/http/istio_stats/istio_stats.cc``.
See records with ``meshctl logs POD``.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh.accesslog import AccessLogRecord
from mesh.mixer.workloads import NOBODY, UNKNOWN, Workload, Workloads

SHADOW = "-shadow"
KNOWN_PARTIES = 10_000
_SPECIAL = ("BlackHoleCluster", "PassthroughCluster", "InboundPassthroughCluster")


@dataclass(frozen=True, slots=True)
class Parties:
    """Both ends of a request.

    ``service`` is the host name that was asked for, ``mtls`` None when this side cannot tell,
    ``mirrored`` True for a copy that nobody waits for; ``gateway`` True when a gateway reports.
    """

    reporter: str
    source: Workload
    destination: Workload
    service: str
    mtls: bool | None = None
    mirrored: bool = False
    gateway: bool = False

    @property
    def service_name(self) -> str:
        """Istio's ``destination_service_name``: the first part of a service's host name."""
        return self.service.partition(".")[0] if ".svc." in self.service else self.service

    @property
    def service_namespace(self) -> str:
        """Istio's ``destination_service_namespace``."""
        parts = self.service.split(".")
        return parts[1] if len(parts) > 2 and parts[2] == "svc" else UNKNOWN


class Resolver:
    """Finds the parties of records; what was found is remembered, within bounds."""

    def __init__(self, workloads: Workloads) -> None:
        self._workloads = workloads
        self._known: dict[tuple[str, ...], Parties] = {}

    def forget(self) -> None:
        """Look everything up anew: the mesh has changed."""
        self._known.clear()

    def parties(self, record: AccessLogRecord) -> Parties:
        """Return both ends of ``record``."""
        key = (
            record.pod,
            record.direction,
            record.downstream_peer,
            record.downstream_peer_uri_san,
            record.upstream_cluster,
            record.upstream_host,
            record.authority,
        )
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= KNOWN_PARTIES:  # hosts that strangers make up
                self._known.clear()
            found = self._known[key] = self._find(record)
        return found

    def _find(self, record: AccessLogRecord) -> Parties:
        own = self._workloads.of_pod(record.pod)
        host = record.authority.rpartition(":")[0] or record.authority
        mirrored = host.endswith(SHADOW)
        if record.direction == "inbound":
            peer, principal = record.downstream_peer, record.downstream_peer_uri_san
            source = self._workloads.sender(peer, principal)
            service = own.service or UNKNOWN
            return Parties("destination", source, own, service, bool(principal), mirrored)
        gateway = own.kind == "router"
        destination = self._workloads.at(record.upstream_host) if record.upstream_host else NOBODY
        return Parties(
            "source", own, destination, self._service(record, host, gateway), None, False, gateway
        )

    def _service(self, record: AccessLogRecord, host: str, gateway: bool) -> str:
        """Return the service of an outbound request: its cluster's, else the host it named."""
        cluster = record.upstream_cluster
        if cluster in _SPECIAL:
            return cluster
        if cluster.startswith("outbound|"):
            return cluster.rpartition("|")[2]
        if gateway or not host:
            return UNKNOWN
        for service in self._workloads.hosts:
            if service == host or service.startswith(f"{host}."):
                return service
        return host
