"""Does once, before forking, what every child would otherwise do on its first configuration.

The typed xDS messages work out how they are packed when a type is first used: a tenth of a second
for some of them, and memory.  So a small mesh is translated, packed and read here, and the
children share what that leaves behind.  Everything used is pure: no loop, no thread, no random
numbers.
"""

from __future__ import annotations

from typing import Any

from betterproto2 import Message
from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    Resource,
)
from envoy_data_plane.google.protobuf import Any as Packed

from mesh.istio import load_text, validate
from mesh.istio.eras import era
from mesh.pilot.encode import encode
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate import Translator
from mesh.pilot.translate.view import MeshView
from mesh.testbed.load_topology import ingress_yaml, standard_topology
from mesh.topology import ISTIO, TLS_MODE, Pod

_ERA = "istio-1.9"
_RULES = """
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: recommendation, namespace: tutorial}
spec:
  host: recommendation
  trafficPolicy:
    connectionPool: {http: {http1MaxPendingRequests: 10}, tcp: {maxConnections: 10}}
    outlierDetection: {consecutive5xxErrors: 3, interval: 10s}
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: recommendation, namespace: tutorial}
spec:
  hosts: [recommendation]
  http:
    - match: [{headers: {user-preference: {exact: "1"}}}]
      timeout: 1s
      route: [{destination: {host: recommendation, subset: v1}}]
    - route:
        - {destination: {host: recommendation, subset: v1}, weight: 90}
        - {destination: {host: recommendation, subset: v2}, weight: 10}
"""


def warm_up() -> None:
    """Load, translate, pack and read the configuration of a sidecar and a gateway."""
    topology = standard_topology()
    resources = load_text(
        f"{ingress_yaml(topology)}---{_RULES}", "", era=era(_ERA), namespace=topology.namespace
    ).resources
    validate(resources, era(_ERA))
    registry = Registry()
    ports = {8080: 1}
    for service in topology.services:
        registry.add_service(service)
        for workload in service.workloads:
            labels = {"app": service.name, "version": workload.version, TLS_MODE: ISTIO}
            place = (workload.name, service.namespace, service.name, workload.name)
            registry.add_pod(Pod(*place, labels, service.name, "127.0.0.1", ports))
    translator = Translator(MeshView(registry, tuple(resources), era(_ERA)))
    namespace, log = topology.namespace, "/dev/null"
    nodes = [
        ProxyNode(
            "a",
            namespace,
            labels={TLS_MODE: ISTIO},
            inbound_ports=ports,
            outbound_port=2,
            access_log=log,
        ),
        ProxyNode(
            "b",
            namespace,
            "router",
            labels={"istio": "ingressgateway"},
            gateway_ports={80: 3},
            access_log=log,
        ),
    ]
    for node in nodes:
        for url, contents in translator.snapshot(node).items():
            packed = [
                Resource(name=name, resource=Packed(type_url=url, value=content))
                for name, content in contents.items()
            ]
            response = DeltaDiscoveryResponse(type_url=url, resources=packed)
            for each in DeltaDiscoveryResponse.parse(encode(response)).resources:
                _read(each.resource.unpack() if each.resource is not None else None)
        request = DeltaDiscoveryRequest(node=node.to_xds(), initial_resource_versions={"a": "1"})
        DeltaDiscoveryRequest.parse(bytes(request))


def _read(message: Any) -> None:
    """Unpack whatever is packed inside a message."""
    if isinstance(message, Packed):
        _read(message.unpack())
    elif isinstance(message, Message):
        for value in vars(message).values():
            _read(value)
    elif isinstance(message, list):
        for each in message:
            _read(each)
    elif isinstance(message, dict):
        for each in message.values():
            _read(each)
