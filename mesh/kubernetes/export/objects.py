"""The applications as Kubernetes objects: Namespace, ServiceAccount, Service, Deployment.

The pods have the labels, names and service accounts of the local testbed, so the same subsets
select them and the same principals name them.  The label ``istio-injection`` lets Istio put its
sidecar into each pod.  Containers run without root, without capabilities, on a read-only root.
"""

from __future__ import annotations

import json
from typing import Any

from mesh.topology import Service, Topology, Workload

IMAGE = "mesh-lab-kit"
USER = 1000
SEVERAL = frozenset(["customer", "ext_authz", "preference", "recommendation", "shop", "tcp_echo"])
"""Applications that listen at several ports; the policies of a port are those of the pod's port."""
STATISTICS = "sidecar.istio.io/statsInclusionRegexps"
"""Annotation: which statistics Istio lets a sidecar keep; by default few, the diagnosis needs all."""

Document = dict[str, Any]


def applications(topology: Topology) -> list[Document]:
    """Return the objects of a topology: what runs, without any mesh configuration."""
    names = dict.fromkeys([topology.namespace, *(each.namespace for each in topology.services)])
    found = [namespace(each) for each in names]
    accounts = {
        (service.namespace, account(service, each))
        for service in topology.services
        for each in service.workloads
    }
    found += [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": space},
        }
        for space, name in sorted(accounts)
    ]
    for each in topology.services:
        found.append(service_object(each))
        found += [deployment(each, workload) for workload in each.workloads]
    return found


def namespace(name: str, *, injected: bool = True) -> Document:
    """Return a Namespace, by default one whose pods get sidecars."""
    labels = {"istio-injection": "enabled" if injected else "disabled"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def account(service: Service, workload: Workload) -> str:
    """Return the service account of a workload, its service's name unless it has another."""
    return workload.service_account or service.name


def service_object(service: Service) -> Document:
    """Return the Service; the names of its ports tell Istio the protocol."""
    ports = [
        {
            "name": _port_name(port.name, port.protocol),
            "port": port.number,
            "targetPort": listening(service)[port.number],
            "protocol": "TCP",
        }
        for port in service.ports
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": service.name,
            "namespace": service.namespace,
            "labels": {"app": service.name},
        },
        "spec": {"selector": {"app": service.name}, "ports": ports},
    }


def listening(service: Service) -> dict[int, int]:
    """Return the port of the pods for each port of the Service; most applications have one only."""
    apps = {each.app.removeprefix("services.") for each in service.workloads}
    first = service.ports[0].number
    if not apps <= SEVERAL:
        return {port.number: first for port in service.ports}
    return {port.number: port.number for port in service.ports}


def _port_name(name: str, protocol: str) -> str:
    first = name.partition("-")[0]
    return name if first == protocol else f"{protocol}-{name}"[:15].rstrip("-")


def deployment(service: Service, workload: Workload) -> Document:
    """Return the Deployment of a workload."""
    labels = {"app": service.name, "version": workload.version, **workload.labels}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": workload.name, "namespace": service.namespace, "labels": labels},
        "spec": {
            "replicas": workload.replicas,
            "selector": {"matchLabels": {"app": service.name, "version": workload.version}},
            "template": {
                "metadata": {"labels": labels, "annotations": {STATISTICS: ".*"}},
                "spec": {
                    "serviceAccountName": account(service, workload),
                    "securityContext": pod_security(),
                    "containers": [_container(service, workload)],
                },
            },
        },
    }


def _container(service: Service, workload: Workload) -> Document:
    port = service.ports[0].number
    ports = list(dict.fromkeys(listening(service).values()))
    places = ",".join(f"0.0.0.0:{each}" for each in ports)
    command = ["python", "-m", "services.server", workload.app, places]
    command += ["--version", workload.version, "--journal", "/dev/stdout"]
    if workload.options:
        command += ["--options", json.dumps(workload.options, sort_keys=True)]
    name = workload.app.removeprefix("services.")
    probe: Document = {"httpGet": {"path": "/health/ready", "port": port}}
    if name == "scripted":  # a request would use up its script
        probe = {"tcpSocket": {"port": port}}
    return {
        "name": "app",
        "image": IMAGE,
        "command": command,
        "env": [{"name": "HOSTNAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "ports": [
            {"containerPort": each, "name": "http" if each == port else f"http-{each}"}
            for each in ports
        ],
        "readinessProbe": probe,
        "livenessProbe": {**probe, "periodSeconds": 10},
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": "192Mi"},
        },
        "securityContext": container_security(),
    }


def pod_security() -> Document:
    """Return the security context of a pod: no root, the runtime's system call filter."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Document:
    """Return the security context of a container: nothing but its own process."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
