"""PodSet: the pods of one mesh, whatever they run in, and what the control plane is told of them.

``Deployment`` runs them as processes of this machine, ``mesh.testbed.compose`` in containers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mesh.agent.agent import BOOTSTRAP_FILE
from mesh.mixer.client import MixerClient
from mesh.pilot import virtual_address
from mesh.pilot.client import PilotClient
from mesh.pilot.node import ProxyNode
from mesh.state import RunFolder
from mesh.testbed import draining, records
from mesh.testbed import pods as podlib
from mesh.testbed.base import Engine
from mesh.testbed.child import ChildSpec
from mesh.testbed.client import TestbedError
from mesh.testbed.plain import to_plain
from mesh.testbed.pods import LocalPod
from mesh.topology import Pod, Port, Service, Topology, Workload

ADS, API, MIXER, FIRST_APP = 1, 2, 3, 4
"""Numbers of the run folder's sockets; 0 is the preloaded process's."""


def node_of(pod: LocalPod) -> ProxyNode | None:
    """Return what the control plane has to know of the pod's sidecar."""
    return pod.node if pod.injected else None


@dataclass(slots=True, kw_only=True)
class PodSet(ABC):
    """The pods by name (``killed`` those that are gone); ``count`` numbers every pod ever made."""

    topology: Topology
    engine: Engine
    era: str
    seed: str
    folder: RunFolder
    pods: dict[str, LocalPod] = field(default_factory=dict)
    killed: list[LocalPod] = field(default_factory=list)
    count: int = 0
    certificate_seconds: float = 0.0
    mixer_port: int = 0
    sampling: float = 100.0
    patience: float = 30.0
    """Seconds for an answer of the control plane."""

    @property
    def mixer(self) -> MixerClient:
        """Metrics, traces and the graph."""
        return MixerClient(self.folder.socket(MIXER))

    @property
    def pilot(self) -> PilotClient:
        """The control plane."""
        return PilotClient(self.folder.socket(API), self.patience)

    def replace(self, victim: LocalPod) -> Pod:
        """Kill ``victim`` as ``kill -9`` would, and put a new pod of its workload in its place."""
        self._need_pilot()
        records.flush([victim])
        self.end(victim)
        return self.start_another(victim)

    def restart(self, victim: LocalPod, grace: float, told: Callable[[str], None]) -> Pod:
        """Start a new pod beside ``victim``, then drain and end that: no request fails.

        What takes longer than ``grace`` seconds is cut.  ``told`` hears of each step.  This is a
        Deployment's rolling update with ``maxUnavailable: 0, maxSurge: 1``.
        """
        self._need_pilot()
        new = self.start_another(victim)
        told(f"{new.name} is ready")
        try:
            self.pilot.drain_pods([(victim.name, victim.node.namespace)])
            self.await_in_force(self.pods.values())
            told(f"{victim.name} {draining.LEFT}")
            left = draining.drain(victim, grace, self.clients_of)
            records.flush([victim])
        finally:
            self.end(victim)
        cut = f", {left} connections were cut after {grace:g} s" if left else ""
        told(f"{victim.name} has ended{cut}")
        return new

    def scale(self, name: str, replicas: int) -> tuple[list[str], list[str]]:
        """Start or kill pods of the workload ``name`` until it has ``replicas``: added, removed."""
        known = [each.name for item in self.topology.services for each in item.workloads]
        if name not in known:
            raise TestbedError(f"there is no workload {name!r}; there are {', '.join(known)}")
        own = [self.pods[each] for each in sorted(self.pods) if self.pods[each].workload[1] == name]
        like = [*own, *(each for each in self.killed if each.workload[1] == name)]
        if not like and replicas:
            raise TestbedError(f"{name} never had a pod: give it one in the topology")
        if replicas > len(own):
            self._need_pilot()
        added = [self.start_another(like[0]).name for _ in range(len(own), replicas)]
        removed = own[replicas:]
        records.flush(removed)
        for each in removed:
            self.end(each)
        if removed and self.pilot_lives():
            self.await_in_force(self.pods.values())
        return added, [each.name for each in removed]

    def _need_pilot(self) -> None:
        """Refuse, before anything has changed, what needs a control plane."""
        if not self.pilot_lives():
            raise TestbedError(
                "the control plane is dead, and without it no new pod gets a certificate and a "
                "configuration: `meshctl start-pilot` starts it; pods can go (`meshctl scale`)"
            )

    def clients_of(self, pod: LocalPod) -> int:
        """Return how many clients are connected to a pod.  Raises AdminError."""
        return draining.connected(pod)

    @abstractmethod
    def start_another(self, like: LocalPod) -> Pod:
        """Start a new pod of the workload of ``like``; it gets requests when it is ready."""

    @abstractmethod
    def end(self, victim: LocalPod) -> None:
        """End a pod as ``kill -9`` would; the control plane hears of it if there is one."""

    @abstractmethod
    def await_in_force(self, pods: Iterable[LocalPod]) -> None:
        """Wait until pods have their configuration; a sidecar that ended is not waited for."""

    @abstractmethod
    def pilot_lives(self) -> bool:
        """Return whether there is a control plane to tell of a pod that comes or goes."""

    @abstractmethod
    def kill_pilot(self) -> None:
        """Kill the control plane as ``kill -9`` would; sidecars go on with what they have."""

    @abstractmethod
    def start_pilot(self) -> None:
        """Start the control plane again: it reads what was applied, and is told who runs."""

    def chosen(self, name: str) -> list[LocalPod]:
        """Return the pods of a workload or a service, or the pod of that name (or its beginning)."""
        pods = [self.pods[each] for each in sorted(self.pods)]
        for place in (1, 0):  # (service, workload)
            found = [each for each in pods if each.workload[place] == name]
            if found and name not in self.pods:
                return found
        return [self.find(name)]

    def find(self, name: str) -> LocalPod:
        """Return a pod by its name or the beginning of it; the first of several replicas."""
        if name in self.pods:
            return self.pods[name]
        chosen = [self.pods[each] for each in sorted(self.pods) if each.startswith(name)]
        if not chosen:
            raise TestbedError(
                f"there is no pod {name!r}; there are {', '.join(sorted(self.pods))}"
            )
        if len({each.workload for each in chosen}) > 1:
            names = ", ".join(each.name for each in chosen)
            raise TestbedError(f"several pods begin with {name!r}: {names}")
        return chosen[0]

    @property
    def tcp(self) -> list[tuple[Service, Port]]:
        """The ports that are not HTTP."""
        return podlib.tcp_services(self.topology)

    @property
    def outside_roots(self) -> str:
        """The file with the authority of the names outside; ``""`` where none speaks TLS."""
        return podlib.outside_roots(self.topology, self.folder.path)

    def environment(self, pod: LocalPod) -> dict[str, str]:
        """Return what a pod's application is told of raw TCP services (``ECHO_SERVICE_PORT``)."""
        names = [each.hostname for each in self.topology.all_services]
        return podlib.service_environment(pod.node, self.tcp, virtual_address.of_services(names))

    def workload_of(self, pod: LocalPod) -> tuple[Service, Workload]:
        """Return a pod's place in the topology."""
        for service in self.topology.services:
            for workload in service.workloads:
                if (service.name, workload.name) == pod.workload:
                    return service, workload
        raise TestbedError(f"{pod.name} belongs to no workload of the topology")

    def register(self, pods: list[tuple[ProxyNode | None, Pod | None]]) -> None:
        """Make pods known; each gets the token by which its sidecar asks for a certificate."""
        tokens = self.pilot.add_pods(pods)
        for node, _ in pods:
            if node is not None and node.mtls and node.id in tokens:
                self.hand_over_token(node, tokens[node.id])

    def hand_over_token(self, node: ProxyNode, token: str) -> None:
        """Put a token where the sidecar ``node`` looks for it."""
        path = self.folder.path / node.pod / BOOTSTRAP_FILE
        path.touch(mode=0o600)
        path.write_text(token, encoding="ascii")

    def mixer_spec(self) -> ChildSpec:
        """Return the process of Mixer."""
        return ChildSpec(
            name="mixer",
            module="mesh.mixer.main",
            function="run",
            options_type="MixerOptions",
            options={
                "socket": str(self.folder.socket(MIXER)),
                "pilot_socket": str(self.folder.socket(API)),
                "port": self.mixer_port,
            },
            log=str(self.folder.path / "mixer.log"),
        )

    def pilot_spec(self, pods: list[LocalPod]) -> ChildSpec:
        """Return the process of the control plane."""
        world = {key: (pod.node.address, port) for pod in pods for key, port in pod.world.items()}
        return ChildSpec(
            name="pilot",
            module="mesh.pilot.main",
            function="run",
            options_type="PilotOptions",
            options={
                "ads_socket": str(self.folder.socket(ADS)),
                "api_socket": str(self.folder.socket(API)),
                "store": str(self.folder.path / "resources"),
                "services": to_plain(self.topology.all_services),
                "era": self.era,
                "namespace": self.topology.namespace,
                "mixer_socket": str(self.folder.socket(MIXER)),
                "sampling": min(self.sampling, self.topology.sampling),
                "citadel": str(self.folder.path / "citadel"),
                "certificate_seconds": self.certificate_seconds,
                "outbound_policy": self.topology.outbound_policy or None,
                "world": to_plain(world),
                "system_roots": self.outside_roots,
                "l5d_dtab": self.topology.l5d_dtab,
                "extension_providers": to_plain(self.topology.extension_providers),
            },
            log=str(self.folder.path / "pilot.log"),
        )
