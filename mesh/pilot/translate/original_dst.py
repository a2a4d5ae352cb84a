"""Original destination: the sidecar sends where the caller had already decided to go.

``trafficPolicy.loadBalancer.simple: PASSTHROUGH`` of a DestinationRule, and a ServiceEntry of
``resolution: NONE``, leave the choice of the address to the caller: Envoy's cluster ORIGINAL_DST
takes the address that iptables turned away from.  That exists where iptables redirects, in the
runtime ``compose``.  Locally applications use a proxy, so no address was chosen: the default
balancer picks a pod, a ServiceEntry goes by its name, and ``apply`` says so (KIT0202).
``Sidecar.ingress`` and the binds of egress listeners are of the same kind.
Source: istio/istio ``cluster_traffic_policy.go``; Envoy, "Original destination".
Shown by ``meshctl proxy-config cluster POD`` (TYPE).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterLbPolicy,
)

from mesh.istio import Level, Problem, Resource
from mesh.istio.models.destination_rule import DestinationRule
from mesh.istio.models.sidecar import Sidecar
from mesh.pilot.translate.service_entry import EntryService
from mesh.pilot.translate.traffic_policy import Policy
from mesh.pilot.translate.view import COMPOSE, MeshView
from mesh.topology import Service

CODE = "KIT0202"
"""Code of a setting that this runtime does not execute."""
PASSTHROUGH = "PASSTHROUGH"


def applies(view: MeshView, service: Service, policy: Policy) -> bool:
    """True when a cluster of ``service`` goes to the caller's own address."""
    if view.runtime != COMPOSE:
        return False
    simple = policy.load_balancer.simple if policy.load_balancer else None
    return simple == PASSTHROUGH or (
        isinstance(service, EntryService) and service.resolution == "NONE"
    )


def apply(cluster: Cluster) -> None:
    """Make it a cluster without endpoints of its own."""
    cluster.type = ClusterDiscoveryType.ORIGINAL_DST
    cluster.lb_policy = ClusterLbPolicy.CLUSTER_PROVIDED
    cluster.eds_cluster_config = None
    cluster.load_assignment = None


def remarks(resources: Iterable[Resource]) -> list[Problem]:
    """Return a warning for every setting that the local runtime does not execute."""
    return [
        each.problem(CODE, Level.WARNING, text, path, hint=hint)
        for each in resources
        for path, text, hint in _found(each)
    ]


def _found(resource: Resource) -> Iterator[tuple[str, str, str]]:
    spec = resource.spec
    if isinstance(spec, DestinationRule):
        policies = [("spec.trafficPolicy", spec.traffic_policy)]
        for number, subset in enumerate(spec.subsets or []):
            policies.append((f"spec.subsets[{number}].trafficPolicy", subset.traffic_policy))
        for path, policy in policies:
            balancer = policy.load_balancer if policy is not None else None
            if balancer is not None and balancer.simple == PASSTHROUGH:
                yield (
                    f"{path}.loadBalancer.simple",
                    "PASSTHROUGH needs the address that the caller chose, which only the runtime "
                    "compose knows: here the default balancer chooses",
                    "Use LEAST_REQUEST, or run this lab with RUNTIME=compose.",
                )
    if isinstance(spec, Sidecar):
        if spec.ingress:
            yield (
                "spec.ingress",
                "ingress listeners are not executed here: the application is reached on the "
                "ports of its Service",
                "Leave `ingress:` out.",
            )
        for number, listener in enumerate(spec.egress or []):
            if listener.bind:
                yield (
                    f"spec.egress[{number}].bind",
                    "a bind address is not executed here: applications use their sidecar as a proxy",
                    "Leave `bind:` out.",
                )
