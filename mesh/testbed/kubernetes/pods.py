"""Pods: what ``kubectl get pods -o json`` says of a lab's workloads and of the ingress gateway.

A pod has a sidecar when it has a container ``istio-proxy``, among its containers or (native
sidecars) among those that start first.
Source: Kubernetes API, Pod v1 core; Istio, "Sidecar injection".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes.kubectl import Kubectl, KubectlError
from mesh.topology import ROOT_NAMESPACE, Service, Topology, Workload

PROXY = "istio-proxy"
GATEWAY_LABEL = "istio=ingressgateway"


@dataclass(frozen=True, slots=True)
class ClusterPod:
    """A running pod; ``service`` and ``workload`` are ``""`` for a gateway's."""

    name: str
    namespace: str
    address: str
    account: str
    labels: dict[str, str]
    injected: bool
    service: str = ""
    workload: str = ""

    @property
    def gateway(self) -> bool:
        """Whether it is the ingress gateway's."""
        return not self.service


def running(kubectl: Kubectl, topology: Topology) -> list[ClusterPod]:
    """Return the ready pods of the topology's workloads, by name."""
    spaces = dict.fromkeys(each.namespace for each in topology.services)
    found = [
        pod
        for space in spaces
        for raw in kubectl.within(space).items("pods")
        if is_ready(raw) and (pod := _pod(raw, topology)) is not None
    ]
    return sorted(found, key=lambda pod: pod.name)


def gateways(kubectl: Kubectl) -> list[ClusterPod]:
    """Return the ready pods of the ingress gateway."""
    listed = kubectl.within(ROOT_NAMESPACE).items("pods", "-l", GATEWAY_LABEL)
    return [_describe(raw, "", "") for raw in listed if is_ready(raw)]


def only_gateway(kubectl: Kubectl, name: str) -> list[ClusterPod]:
    """Return the ingress gateway's pod; TestbedError unless there is one, whose log is all of it."""
    found = gateways(kubectl)
    if len(found) != 1:
        raise TestbedError(
            f"the ingress gateway has {len(found) or 'no'} pods, and is graded with one: `kubectl "
            f"--namespace {ROOT_NAMESPACE} scale deployment {name} --replicas 1`"
        )
    return found


def check_sidecars(pods: Iterable[ClusterPod], topology: Topology) -> None:
    """Raise TestbedError when a pod has no sidecar that the lab wants to have one."""
    loads = [each for service in topology.services for each in service.workloads]
    wanted = {each.name for each in loads if each.injected}
    bare = [pod.name for pod in pods if not pod.injected and pod.workload in wanted]
    if bare:
        raise TestbedError(
            f"{', '.join(bare)} has no sidecar: `kubectl label namespace {topology.namespace} "
            "istio-injection=enabled`, and `kubectl rollout restart deployment` there"
        )


def is_ready(raw: dict[str, Any]) -> bool:
    """Whether a pod gets requests: it runs, is ready, and is not on its way out."""
    if raw["metadata"].get("deletionTimestamp"):
        return False
    status = raw.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    return status.get("phase") == "Running" and conditions.get("Ready") == "True"


def _pod(raw: dict[str, Any], topology: Topology) -> ClusterPod | None:
    labels = raw["metadata"].get("labels") or {}
    for service in topology.services:
        if (labels.get("app"), raw["metadata"]["namespace"]) != (service.name, service.namespace):
            continue
        for workload in service.workloads:
            if labels.get("version") == workload.version:
                return _describe(raw, service.name, workload.name)
    return None


def _describe(raw: dict[str, Any], service: str, workload: str) -> ClusterPod:
    meta, spec = raw["metadata"], raw["spec"]
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    return ClusterPod(
        name=meta["name"],
        namespace=meta["namespace"],
        address=(raw.get("status") or {}).get("podIP", ""),
        account=spec.get("serviceAccountName", "default"),
        labels=dict(meta.get("labels") or {}),
        injected=any(each["name"] == PROXY for each in containers),
        service=service,
        workload=workload,
    )


def find(pods: Iterable[ClusterPod], name: str) -> ClusterPod:
    """Return a pod by its name or the beginning of it; the first of several replicas."""
    known = list(pods)
    exact = [pod for pod in known if pod.name == name]
    found = exact or [pod for pod in known if pod.name.startswith(f"{name}-")]
    if not found:
        names = ", ".join(pod.name for pod in known) or "none"
        raise TestbedError(f"there is no pod {name}; these run: {names}")
    return found[0]


def check_workloads(kubectl: Kubectl, topology: Topology, remedy: str) -> None:
    """Raise TestbedError unless the cluster runs the topology's Deployments, and no others of them.

    Waits until they are available (``kubectl wait``).
    """
    wanted = [(service, each) for service in topology.services for each in service.workloads]
    for space in dict.fromkeys(service.namespace for service in topology.services):
        try:
            found = {
                each["metadata"]["name"]: each
                for each in kubectl.within(space).items("deployments")
            }
        except KubectlError as problem:
            raise TestbedError(f"the cluster cannot be looked at: {problem}") from None
        mine = [(service, each) for service, each in wanted if service.namespace == space]
        lacking = [each.name for _, each in mine if each.name not in found]
        if lacking:
            raise TestbedError(
                f"the cluster does not run this lab: namespace {space} has no Deployment "
                f"{', '.join(lacking)}. {remedy}"
            )
        names = {each.name for _, each in mine}
        strangers = sorted(set(found) - names)
        services = {service.name for service, _ in mine}
        more = [
            name
            for name in strangers
            if found[name]["spec"]["template"]["metadata"].get("labels", {}).get("app") in services
        ]
        if more:
            raise TestbedError(
                f"the Deployment {', '.join(more)} of another lab would answer, too: "
                f"`kubectl --namespace {space} delete deployment {' '.join(more)}`"
            )
        for service, workload in mine:
            _check_replicas(found[workload.name], service, workload)
        listed = [f"deployment/{each.name}" for _, each in mine]
        words = ("wait", "--for=condition=Available", "--timeout=120s", *listed)
        try:
            kubectl.within(space).run(*words, patience=150)
        except KubectlError as problem:
            raise TestbedError(
                f"the lab's pods are not ready ({problem}): "
                f"`kubectl --namespace {space} describe pods` says why"
            ) from None


def _check_replicas(found: dict[str, Any], service: Service, workload: Workload) -> None:
    replicas = found["spec"].get("replicas", 1)
    if replicas != workload.replicas:
        raise TestbedError(
            f"the lab has {workload.replicas} pods of {workload.name}, the cluster {replicas}: "
            f"`kubectl --namespace {service.namespace} scale deployment {workload.name} "
            f"--replicas {workload.replicas}`"
        )
