"""Import: a cluster's Services and Deployments as a topology, its Istio resources as they are.

What runs in a cluster cannot run here, so a stand-in backend (``services.scripted``, which says
who it is and what it received) takes the place of every container.  Names, namespaces, labels,
ports, replicas and service accounts stay, so that the same VirtualServices and DestinationRules
route the same requests.  ``status``, ``managedFields`` and the rest of what the API server adds
is dropped.  Shown by ``meshctl import FILE... -o FOLDER``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mesh.istio.models.kubernetes import Deployment, NotRead, PodTemplate, Service, ServicePort
from mesh.istio.models.kubernetes import Pod as PodSpec
from mesh.istio.resource import Resource
from mesh.istio.written import dump
from mesh.kubernetes.convert import KUBERNETES
from mesh.topology import INJECT

GATEWAY_LABEL = "ingressgateway"
_PROTOCOLS = frozenset(["http", "http2", "grpc", "https", "tls", "tcp"])
_TCP = frozenset(["mongo", "mysql", "redis"])


@dataclass(frozen=True, slots=True)
class Imported:
    """A topology as ``load_topology`` reads it, a configuration as ``apply`` does, and remarks."""

    topology: dict[str, Any]
    config: str
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Pods:
    """One Deployment (or bare Pod): the pods that it makes."""

    name: str
    namespace: str
    labels: dict[str, str]
    replicas: int
    account: str
    injected: bool


def import_objects(resources: Iterable[Resource]) -> Imported:
    """Build a topology and a configuration from a cluster's objects, in the order given."""
    found = list(resources)
    notes: list[str] = []
    pods = [each for each in map(_pods, found) if each is not None]
    services: dict[str, dict[str, Any]] = {}
    used: set[str] = set()
    gateway = any(each.kind == "Gateway" for each in found)
    for resource in found:
        spec = resource.spec
        if isinstance(spec, NotRead):
            notes.append(f"{resource.position()}: {resource.kind} is left out")
        if not isinstance(spec, Service) or resource.namespace.startswith("kube-"):
            continue
        if (resource.namespace, resource.name) == ("default", "kubernetes"):
            continue
        selector = spec.selector or {}
        if selector.get("istio", "").endswith("gateway") or "istiod" in selector.values():
            gateway = gateway or selector.get("istio") == GATEWAY_LABEL
            continue
        if resource.name in services:
            notes.append(
                f"{resource.position()}: a second Service {resource.name}, in namespace "
                f"{resource.namespace}, is left out: the kit's services have different names"
            )
            continue
        workloads = [
            _workload(each, resource.name, used)
            for each in pods
            if selector and each.namespace == resource.namespace
            if selector.items() <= each.labels.items()
        ]
        if not workloads:
            why = (
                "its selector fits no Deployment, StatefulSet or DaemonSet"
                if selector
                else "it has no selector"
            )
            notes.append(f"{resource.position()}: Service {resource.name} has no pods: {why}")
        services[resource.name] = {
            "namespace": resource.namespace,
            "ports": _ports(resource, spec.ports or [], notes),
            "workloads": workloads,
        }
    names = [each["namespace"] for each in services.values()]
    topology: dict[str, Any] = {
        "namespace": max(names, key=names.count) if names else "default",
        "gateway": "istio-ingressgateway" if gateway else False,
        "ingress": False,
        "services": services,
    }
    texts = [
        _text(each)
        for each in found
        if each.kind not in KUBERNETES and not isinstance(each.spec, NotRead)
    ]
    return Imported(topology, "---\n".join(texts), notes)


def _pods(resource: Resource) -> _Pods | None:
    spec = resource.spec
    if isinstance(spec, Deployment):
        template, replicas = spec.template, 1 if spec.replicas is None else spec.replicas
    elif isinstance(spec, PodSpec) and not resource.source.value("metadata.ownerReferences"):
        template, replicas = PodTemplate(spec=spec), 1
    else:
        return None
    meta = template.metadata
    labels = dict((meta.labels if meta else None) or resource.labels)
    notes = (meta.annotations if meta else None) or resource.annotations
    account = (template.spec.service_account_name if template.spec else None) or "default"
    injected = "false" not in (labels.get(INJECT), notes.get(INJECT))
    return _Pods(resource.name, resource.namespace, labels, replicas, account, injected)


def _workload(pods: _Pods, service: str, used: set[str]) -> dict[str, Any]:
    name = pods.name if pods.name not in used else f"{pods.name}-{service}"
    used.add(name)
    labels = {key: value for key, value in pods.labels.items() if (key, value) != ("app", service)}
    version = labels.pop("version", "v1")
    if not pods.injected:
        labels[INJECT] = "false"
    return {
        "name": name,
        "app": "scripted",
        "version": version,
        "replicas": pods.replicas,
        "service_account": pods.account,
        **({"labels": labels} if labels else {}),
    }


def _ports(resource: Resource, ports: list[ServicePort], notes: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for port in ports:
        if port.protocol == "UDP":
            notes.append(f"{resource.position()}: UDP port {port.port} is left out")
            continue
        name = port.name or "http"
        word = (port.app_protocol or name).lower().split("-")[0]
        protocol = word if word in _PROTOCOLS else "tcp" if word in _TCP else "http"
        found.append({"number": port.port, "name": name, "protocol": protocol})
    return found or [{}]


def _text(resource: Resource) -> str:
    """Return a resource as its author wrote it; of what the API server added only its age stays."""
    plain = resource.source.root.plain()
    whole = plain if isinstance(plain, dict) else {}
    meta = whole.get("metadata") or {}
    notes = {
        key: value
        for key, value in (meta.get("annotations") or {}).items()
        if not key.startswith("kubectl.kubernetes.io/")
    }
    kept: dict[str, Any] = {"name": resource.name, "namespace": resource.namespace}
    if meta.get("creationTimestamp"):  # of two for one host the older one counts
        kept["creationTimestamp"] = str(meta["creationTimestamp"])
    if meta.get("labels"):
        kept["labels"] = meta["labels"]
    if notes:
        kept["annotations"] = notes
    body = {
        key: value
        for key, value in whole.items()
        if key not in ("apiVersion", "kind", "metadata", "status")
    }
    document = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": kept, **body}
    return dump(document)
