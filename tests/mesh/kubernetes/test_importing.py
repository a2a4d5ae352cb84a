"""Import: what ``kubectl get -o yaml`` prints becomes a topology that starts."""

from __future__ import annotations

import yaml

from mesh.istio import era, has_errors, load_text
from mesh.kubernetes.importing import Imported, import_objects
from mesh.testbed.load_topology import load_topology
from mesh.topology import Port

CLUSTER = """\
apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: v1
  kind: Service
  metadata:
    name: reviews
    namespace: shop
    uid: 4f
    managedFields: [{manager: kubectl, operation: Update}]
  spec:
    selector: {app: reviews}
    clusterIP: 10.0.0.1
    ports: [{name: http, port: 9080}, {name: dns, port: 53, protocol: UDP}, {name: mongo, port: 27017}]
  status: {loadBalancer: {}}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: reviews-v2, namespace: shop}
  spec:
    replicas: 3
    selector: {matchLabels: {app: reviews}}
    template:
      metadata: {labels: {app: reviews, version: v2, tier: front}}
      spec: {serviceAccountName: rev, containers: [{name: c, image: i}]}
- apiVersion: v1
  kind: Pod
  metadata:
    name: reviews-v2-1
    namespace: shop
    labels: {app: reviews, version: v2}
    ownerReferences: [{kind: ReplicaSet, name: reviews-v2}]
  spec: {containers: [{name: c}]}
- apiVersion: v1
  kind: Service
  metadata: {name: lonely, namespace: shop}
  spec: {selector: {app: nobody}, ports: [{name: grpc-api, port: 90}]}
- apiVersion: v1
  kind: Service
  metadata: {name: kubernetes, namespace: default}
  spec: {ports: [{name: https, port: 443}]}
- apiVersion: networking.istio.io/v1
  kind: VirtualService
  metadata:
    name: reviews
    namespace: shop
    generation: 4
    creationTimestamp: "2026-03-01T10:00:00Z"
    annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', note: kept}
  spec:
    hosts: [reviews]
    http: [{route: [{destination: {host: reviews}}]}]
  status: {}
"""


def imported(text: str) -> Imported:
    loaded = load_text(text, "all.yaml", era=era("istio-current"), namespace="default")
    assert not has_errors(loaded.problems), loaded.problems
    return import_objects(loaded.resources)


def test_a_cluster_becomes_a_topology() -> None:
    topology = load_topology(imported(CLUSTER).topology)
    assert [each.name for each in topology.services] == ["reviews", "lonely"]
    reviews, lonely = topology.services
    assert reviews.namespace == topology.namespace == "shop"
    assert reviews.ports == (Port(9080, "http", "http"), Port(27017, "mongo", "tcp"))
    (workload,) = reviews.workloads
    assert (workload.name, workload.version, workload.replicas) == ("reviews-v2", "v2", 3)
    assert workload.service_account == "rev"
    assert workload.labels == {"tier": "front"}
    assert lonely.ports == (Port(90, "grpc-api", "grpc"),)
    assert topology.gateway == ""


def test_what_the_api_server_added_is_gone() -> None:
    (document,) = yaml.safe_load_all(imported(CLUSTER).config)
    assert document["metadata"] == {
        "name": "reviews",
        "namespace": "shop",
        "creationTimestamp": "2026-03-01T10:00:00Z",  # two for one host: the older one counts
        "annotations": {"note": "kept"},
    }
    assert "status" not in document
    assert document["spec"]["hosts"] == ["reviews"]


def test_what_is_left_out_is_said() -> None:
    notes = "\n".join(imported(CLUSTER).notes)
    assert "UDP port 53 is left out" in notes
    assert "Service lonely has no pods: its selector fits no Deployment" in notes
    assert notes.startswith("all.yaml:")


def test_two_services_in_front_of_one_deployment() -> None:
    text = CLUSTER.replace("name: lonely", "name: copy").replace("app: nobody", "tier: front")
    topology = load_topology(imported(text).topology)
    assert [each.workloads[0].name for each in topology.services] == [
        "reviews-v2",
        "reviews-v2-copy",
    ]


def test_an_ingress_gateway_is_seen() -> None:
    gateway = """\
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ['*']}]}
"""
    topology = load_topology(imported(CLUSTER + gateway).topology)
    assert topology.gateway == "istio-ingressgateway"
    assert not topology.ingress
