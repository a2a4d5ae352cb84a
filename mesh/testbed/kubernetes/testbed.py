"""KubernetesTestbed: a lab on a cluster with the real Istio, behind the testbeds' interface.

It starts nothing: the lab's applications run there already (``meshctl export kubernetes``), and
belong to the user.  It applies and removes Istio resources in their namespaces, sends requests to the
ingress gateway or (``kubectl exec``) out of pods, and reads logs.  What no visitor of a cluster can do
is a NotOfferedError, and the check that needs it says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mesh.accesslog import AccessLogRecord
from mesh.istio.eras import era as era_named
from mesh.istio.load import load_text
from mesh.istio.resource import Resource
from mesh.kubernetes.export.objects import listening
from mesh.pilot.client import ApplyResult
from mesh.testbed.base import Answer, ApplyError, Document
from mesh.testbed.block import Block
from mesh.testbed.client import TestbedError
from mesh.testbed.documents import documents
from mesh.testbed.kubernetes import able, in_force
from mesh.testbed.kubernetes import kubectl as tool
from mesh.testbed.kubernetes import pods as podlib
from mesh.testbed.kubernetes.configuration import Configuration, Name, for_cluster, name_of
from mesh.testbed.kubernetes.evidence import Evidence
from mesh.testbed.kubernetes.in_force import Marker
from mesh.testbed.kubernetes.ingress import ingress_url
from mesh.testbed.kubernetes.kubectl import Kubectl, KubectlError, NotOfferedError
from mesh.testbed.kubernetes.lock import Lock, this_process
from mesh.testbed.kubernetes.not_offered import NotOffered
from mesh.testbed.kubernetes.pods import ClusterPod
from mesh.testbed.kubernetes.ways import Ways
from mesh.testbed.load_topology import ingress_yaml
from mesh.topology import Pod, Topology


class KubernetesTestbed(NotOffered, Block):
    """The lab of ``topology`` on the cluster of kubectl's context; ``target`` is its ingress."""

    def __init__(
        self, topology: Topology, *, era: str = "istio-current", target: str = "", **_: Any
    ) -> None:
        self.topology = topology
        self.era = era
        self.context = ""
        self._target = target
        self._kubectl = Kubectl()
        spaces = list(dict.fromkeys(each.namespace for each in topology.services))
        self._configuration = Configuration(self._kubectl, spaces)
        self._lock = Lock(self._kubectl, spaces, this_process())
        self._marker = Marker(
            topology.namespace, topology.services[0].ports[0].number, bool(topology.gateway)
        )
        self._ways = Ways(self._kubectl, topology, self._marker)
        self._ingress: set[Name] = set()
        self._evidence = Evidence(self._ways.by_proxy, self._ways.by_application, self._ways.stats)
        self._gateways: list[ClusterPod] = []

    # The life of it.

    def start(self) -> None:
        """Look at the cluster and take the lab over; TestbedError says what it lacks."""
        if reason := able.obstacle(self.topology, era_named(self.era)):
            raise NotOfferedError(reason)
        self.context = tool.check(self._kubectl)
        remedy = (
            "`meshctl export kubernetes --lab N` writes it, `kubectl apply -k` brings it there."
        )
        podlib.check_workloads(self._kubectl, self.topology, remedy)
        try:
            self._take_over()
        except BaseException:
            self.stop()
            raise

    def _take_over(self) -> None:
        if self.topology.gateway:
            self._ways.url = ingress_url(self._kubectl, self.topology.gateway, self._target)
            self._gateways = podlib.only_gateway(self._kubectl, self.topology.gateway)
        self._ways.open()
        running = self._running()
        podlib.check_sidecars(running, self.topology)
        self._ways.check_clocks(running)
        self._lock.take()  # after the clocks were compared: its end is a time
        self._configuration.look()
        ingress = load_text(ingress_yaml(self.topology), "ingress.yaml", era=era_named(self.era))
        default = for_cluster(ingress.resources, era_named(self.era))
        own = [*default, *self._marker.frame()]
        self._ingress = {name_of(each) for each in own}
        self._bring(own, whole=True)
        self._evidence.follow([*running, *self._gateways])

    def keep(self) -> str:
        """Leave what is in force there; returns the context's name."""
        self._let_go()
        self._lock.release()
        return self.context

    def stop(self) -> None:
        """Let the lab go: what was applied is removed, except the default ingress."""
        if not self._let_go():
            return
        marker = {name for name in self._configuration.applied if name[2] == in_force.NAME}
        try:
            if self._lock.ours():  # else it is another's by now
                self._configuration.remove(
                    [
                        name
                        for name in self._configuration.applied
                        if name not in self._ingress - marker
                    ]
                )
            self._lock.release()
        except KubectlError as problem:
            print(
                f"What was applied is still in the cluster ({problem}): `kubectl --namespace "
                f"{self.topology.namespace} get istio-io` lists it.",
                file=sys.stderr,
            )

    def _let_go(self) -> bool:
        """End the processes of this machine; False when there are none."""
        self._evidence.close()
        return self._ways.close()

    # What is in it.

    @property
    def gateway_url(self) -> str:
        """Where the ingress gateway is reached; ``""`` without one."""
        return self._ways.url

    def proxy_url(self, pod: str) -> str:
        """Return a port of this machine whose requests leave the pod as its application's do."""
        found = self._find(pod)
        return f"http://127.0.0.1:{self._ways.relays.port(found.namespace, found.name)}"

    def pods(self) -> tuple[Pod, ...]:
        """Return the running pods, by name.

        Their addresses are relays by a pod without a sidecar, as somebody outside of the mesh would
        come; where the lab has none, asking for a port is a NotOfferedError.
        """
        running = self._running()
        outside = next((pod for pod in running if not pod.injected), None)
        return tuple(self._pod(each, outside) for each in running)

    def _pod(self, pod: ClusterPod, outside: ClusterPod | None) -> Pod:
        service = next(each for each in self.topology.services if each.name == pod.service)
        ports: dict[int, int] = able.NoWay(pod.name)
        if outside is not None:
            for number, there in listening(service).items():
                target = f"raw {pod.address}:{there}"
                ports[number] = self._ways.relays.port(outside.namespace, outside.name, target)
        return Pod(
            name=pod.name,
            namespace=pod.namespace,
            service=pod.service,
            workload=pod.workload,
            labels=pod.labels,
            service_account=pod.account,
            address="127.0.0.1",
            ports=ports,
        )

    # What can be done with it.

    def apply(
        self, what: Iterable[Path | str | Document | Resource], *, era: str = ""
    ) -> ApplyResult:
        """Apply configuration and wait until it is in force; ApplyError when it is refused."""
        items = list(what)
        whole = all(isinstance(item, Resource) for item in items)
        release = era_named(era or self.era)
        resources = [
            resource
            for file, text in documents(items)
            for resource in load_text(
                text, file, era=release, namespace=self.topology.namespace
            ).resources
        ]
        converted = for_cluster(resources, release)
        for each in converted:
            each["metadata"].setdefault("namespace", self.topology.namespace)
        self._bring(converted, whole=whole)
        names = tuple(f"{each['kind']}/{each['metadata']['name']}" for each in converted)
        return _result(names)

    def delete(self, resources: Iterable[tuple[str, str, str]]) -> ApplyResult:
        """Remove resources by (kind, namespace, name) and wait until that is in force."""
        wanted = {(kind.partition(".")[0], space, name) for kind, space, name in resources}
        gone = [
            name
            for name in self._configuration.applied
            if (name[0].partition(".")[0], *name[1:]) in wanted
        ]
        self._lock.renew()
        self._configuration.remove(gone)
        self._configuration.apply([self._marker.next()])
        self._await_in_force()
        return _result(tuple(f"{kind}/{name}" for kind, _, name in gone))

    def kill_pod(self, name: str) -> Pod:
        """Kill a pod at once; returns the one that its Deployment put in its place."""
        victim = self._find(name)
        self._evidence.access_log([victim], victim.name)  # what it wrote is read before it goes
        self._evidence.journal([victim], victim.name)
        before = {pod.name for pod in self._running()}
        there = self._kubectl.within(victim.namespace)
        self._evidence.forget(victim.name)
        there.run("delete", "pod", victim.name, "--grace-period=0", "--force")
        return self._settled(victim, before)[0]

    def restart(
        self, name: str, *, grace: float = 0.0, told: Callable[[str], None] = lambda text: None
    ) -> list[Pod]:
        """Replace a workload's pods as its Deployment does (``kubectl rollout restart``)."""
        victim = self._find(name)
        before = {pod.name for pod in self._running()}
        there = self._kubectl.within(victim.namespace)
        there.run("rollout", "restart", f"deployment/{victim.workload}")
        return self._settled(victim, before)

    def _settled(self, like: ClusterPod, before: set[str]) -> list[Pod]:
        """Wait for a Deployment's new pods, and return them."""
        there = self._kubectl.within(like.namespace)
        words = ("rollout", "status", f"deployment/{like.workload}", "--timeout=120s")
        there.run(*words, patience=150)
        new = [pod for pod in self._running() if pod.name not in before]
        if not new:
            raise TestbedError(f"no new pod of {like.workload} is ready")
        self._evidence.follow(new, fresh=True)
        self._await_in_force()
        names = {pod.name for pod in new}
        return [pod for pod in self.pods() if pod.name in names]

    def scale(self, workload: str, replicas: int) -> tuple[list[str], list[str]]:
        """Let a workload have so many pods (``kubectl scale``): names added, names removed."""
        service = next(
            (
                each
                for each in self.topology.services
                if workload in {w.name for w in each.workloads}
            ),
            None,
        )
        if service is None:
            raise TestbedError(f"there is no workload {workload}")
        before = {pod.name for pod in self._running()}
        self.access_log()
        self.journal()
        there = self._kubectl.within(service.namespace)
        there.run("scale", "deployment", workload, f"--replicas={replicas}")
        there.run("rollout", "status", f"deployment/{workload}", "--timeout=120s", patience=150)
        now = self._running()
        names = {pod.name for pod in now}
        for gone in before - names:
            self._evidence.forget(gone)
        self._evidence.follow([pod for pod in now if pod.name not in before], fresh=True)
        self._await_in_force()
        return sorted(names - before), sorted(before - names)

    # Requests and what was written down.

    def request(
        self,
        path: str,
        *,
        from_pod: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes = b"",
    ) -> Answer:
        """Send one request to the gateway, or out of ``from_pod`` to a URL."""
        if from_pod is None:
            return self._ways.to_gateway(path, headers or {}, method, body)
        return self._ways.out_of(self._find(from_pod), path, headers or {}, method, body)

    def tell(self, pod: str, path: str) -> Answer:
        """Ask a pod's application itself, past its sidecar: from within the pod."""
        return self._ways.to_application(self._find(pod), path, {})

    def stats(self, pod: str, pattern: str) -> dict[str, int]:
        """Return a sidecar's counters and gauges whose name the regex ``pattern`` finds."""
        found = podlib.find(self._all(), pod)
        if not found.injected:
            raise TestbedError(f"{found.name} has no sidecar")
        return self._ways.stats(found, pattern)

    def logs(self, name: str) -> str:
        """Return what the pod's application and its sidecar printed."""
        pod = podlib.find(self._all(), name)
        there = self._kubectl.within(pod.namespace)
        return there.run("logs", pod.name, "--all-containers", "--prefix")

    def access_log(self, pod: str = "") -> tuple[AccessLogRecord, ...]:
        """Return the records of one or all pods, gateway included, since the start."""
        pods = self._all()
        name = podlib.find(pods, pod).name if pod else ""
        return tuple(self._evidence.access_log(pods, name))

    def journal(self, pod: str = "") -> tuple[dict[str, Any], ...]:
        """Return what the applications handled since the start, in order of time."""
        pods = self._running()
        name = podlib.find(pods, pod).name if pod else ""
        return tuple(self._evidence.journal(pods, name))

    # Details.

    def _running(self) -> list[ClusterPod]:
        return podlib.running(self._kubectl, self.topology)

    def _all(self) -> list[ClusterPod]:
        return [*self._running(), *self._gateways]

    def _find(self, name: str) -> ClusterPod:
        return podlib.find(self._running(), name)

    def _bring(self, converted: list[dict[str, Any]], *, whole: bool) -> None:
        """Apply documents, remove what they replace, and wait until all of it is in force."""
        self._lock.renew()
        try:
            if whole:
                marker = [name for name in self._configuration.applied if name[2] == in_force.NAME]
                self._configuration.replace(converted, {*self._ingress, *marker})
            else:
                self._configuration.apply(converted)
            self._configuration.apply([self._marker.next()])
        except KubectlError as problem:
            raise ApplyError(_result((), str(problem))) from None
        self._await_in_force()

    def _await_in_force(self) -> None:
        self._ways.await_in_force(self._running(), self._gateways)


def _result(applied: tuple[str, ...], reason: str = "") -> ApplyResult:
    return ApplyResult((), applied, not reason, 0.0, (), reason)
