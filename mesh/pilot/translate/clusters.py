"""CDS: a cluster for every port of every service, one more for each subset, one for the application.

A cluster is what Envoy calls a group of equal endpoints, with its balancer, limits and detection
(the DestinationRule).  Names are Istio's: ``outbound|8080|version-v1|HOST``, ``inbound|8080||``.
Shown by ``meshctl proxy-config cluster POD``.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
)
from envoy_data_plane.envoy.config.core.v3 import Address, Pipe
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import (
    client_tls,
    connection_pool,
    load_balancer,
    locality,
    messages,
    names,
    original_dst,
    outlier_detection,
    traffic_policy,
)
from mesh.pilot.translate.destination_rule import Rule
from mesh.pilot.translate.view import MeshView
from mesh.topology import Port, Service


def outbound_clusters(view: MeshView, service: Service) -> dict[str, Cluster]:
    """Return the clusters of a service that the view knows."""
    found: dict[str, Cluster] = {}
    rule = view.rule(service.hostname)
    subsets = ["", *(each.name for each in rule.subsets)] if rule else [""]
    for port in service.ports:
        for subset in subsets:
            cluster = _outbound(view, service, port, subset, rule)
            found[cluster.name] = cluster
    return found


def _outbound(
    view: MeshView, service: Service, port: Port, subset: str, rule: Rule | None
) -> Cluster:
    hostname = service.hostname
    policy = traffic_policy.effective(rule, subset, port.number)
    cluster = Cluster(
        name=names.outbound(port.number, subset, hostname),
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(
            eds_config=messages.ads(), service_name=names.outbound(port.number, subset, hostname)
        ),
    )
    path = ""
    if rule is not None:
        path = (
            f"/apis/networking.istio.io/v1/namespaces/{rule.namespace}/destination-rule/{rule.name}"
        )
    cluster.metadata = messages.origin(path, view.registry.generation(hostname))
    connection_pool.apply(cluster, policy.connection_pool, port.protocol)
    load_balancer.apply(cluster, policy.load_balancer, view.era)
    outlier_detection.apply(cluster, policy.outlier_detection, view.era)
    if locality.weighted(locality.setting(view, policy), policy.outlier_detection is not None):
        load_balancer.weigh_localities(cluster)
    if original_dst.applies(view, service, policy):
        original_dst.apply(cluster)
    chosen = rule.subset(subset) if rule is not None and subset else None
    labels = chosen.labels if chosen is not None else None
    client_tls.apply(
        cluster, view, hostname, port.number, port.protocol, subset, labels, policy.tls
    )
    return cluster


def inbound_clusters(view: MeshView, node: ProxyNode) -> dict[str, Cluster]:
    """Return the cluster of each port of the node's own application: its Unix socket."""
    found: dict[str, Cluster] = {}
    for port in node.inbound_ports:
        address = Address(pipe=Pipe(path=node.app_socket))
        if node.app_port:  # a container of its own, with this one's network
            address = messages.address("127.0.0.1", node.app_port)
        endpoint = Endpoint(address=address)
        cluster = Cluster(
            name=names.inbound(port),
            type=ClusterDiscoveryType.STATIC,
            load_assignment=ClusterLoadAssignment(
                cluster_name=names.inbound(port),
                endpoints=[LocalityLbEndpoints(lb_endpoints=[LbEndpoint(endpoint=endpoint)])],
            ),
        )
        connection_pool.apply(cluster, view.inbound_pool, view.protocol(node.services, port))
        found[cluster.name] = cluster
    return found
