"""EDS: the addresses of each cluster.

A subset's endpoints are the pods that carry its labels; a subset without pods has none, and the
sidecar answers 503 with the flag UH.  The metadata ``envoy.lb`` holds the pod's name: as the hash
key, so that consistent hashing picks the same pod on every run, and for whoever reads the log.
Shown by ``meshctl proxy-config endpoint POD``.
"""

from __future__ import annotations

from functools import lru_cache

from envoy_data_plane.envoy.config.core.v3 import Address, HealthStatus, Locality, Metadata, Pipe
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)

from mesh.pilot import registry
from mesh.pilot.encode import sealed
from mesh.pilot.translate import client_tls, locality, messages, names, traffic_policy
from mesh.pilot.translate.view import MeshView


def load_assignment(
    view: MeshView, cluster: str, *, checked: bool = False
) -> ClusterLoadAssignment:
    """Return the endpoints of one outbound cluster; ``checked``: it has active health checks.

    Envoy goes on sending to an endpoint that EDS does not name any more as long as its checks pass
    (``ignore_health_on_host_removal``), so there a pod that drains is first said to be unhealthy.
    """
    _, port, subset, hostname = names.parse(cluster)
    rule = view.rule(hostname)
    chosen = rule.subset(subset) if rule and subset else None
    labels = chosen.labels if chosen else None
    policy = traffic_policy.effective(rule, subset, port)
    groups = locality.groups(view, policy, view.endpoints(hostname, port, labels))
    return ClusterLoadAssignment(
        cluster_name=cluster,
        endpoints=[
            LocalityLbEndpoints(
                locality=_locality(group.place),
                lb_endpoints=[
                    _endpoint(view, hostname, port, each, sick=checked and each.draining)
                    for each in group.members
                ],
                priority=group.priority,
                load_balancing_weight=group.weight,
            )
            for group in groups
        ],
    )


def _endpoint(
    view: MeshView, hostname: str, port: int, endpoint: registry.Endpoint, *, sick: bool
) -> LbEndpoint:
    mtls = client_tls.speaks_mtls(view, hostname, endpoint, port)
    return _member(endpoint.address, endpoint.port, endpoint.pod, endpoint.weight, mtls, sick)


@lru_cache(maxsize=4096)
def _member(host: str, port: int, pod: str, weight: int, mtls: bool, sick: bool) -> LbEndpoint:
    """Return a member; the clusters of its subsets share it, nobody may change it."""
    found = {"envoy.lb": messages.struct({"hash_key": pod, "pod": pod})}
    if mtls:
        found["envoy.transport_socket_match"] = messages.struct(client_tls.MATCH)
    return sealed(
        LbEndpoint(
            endpoint=Endpoint(
                address=messages.address(host, port) if port else Address(pipe=Pipe(path=host))
            ),
            metadata=Metadata(filter_metadata=found),
            load_balancing_weight=weight or None,
            health_status=HealthStatus.UNHEALTHY if sick else HealthStatus.UNKNOWN,
        )
    )


def _locality(name: str) -> Locality | None:
    if not name:
        return None
    region, zone, sub_zone = locality.split(name)
    return Locality(region=region, zone=zone, sub_zone=sub_zone)
