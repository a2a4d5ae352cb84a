"""Deployment: the pods of one local mesh, and the processes behind them.

Kubernetes keeps a Deployment's pods running: it starts them, replaces one that is gone, and a pod
gets requests only once it is ready.  This does the same with processes: control plane,
applications, sidecars and gateway are forked side by side from the preloaded process, and
everything waits for readiness, never for time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from mesh.agent.agent import AgentOptions
from mesh.testbed import pods as podlib
from mesh.testbed.child import ChildSpec
from mesh.testbed.client import Started, TestbedError, ZygoteClient, last_words, wait_ready
from mesh.testbed.pods import LocalPod
from mesh.testbed.podset import ADS, API, FIRST_APP, PodSet, node_of
from mesh.topology import Pod, Service, Workload

_IN_FORCE_SECONDS, _IN_FORCE_ROUNDS = 3.0, 15
"""Longer than the 30 s after which an Envoy, at the latest, looks again for a control plane that was away.

A shorter pause can be had by a retry policy of its ADS stream only, and with one Envoy keeps what it has
sent and breaks the stream off beyond 64 kB of it.
"""


@dataclass(slots=True, kw_only=True)
class Deployment(PodSet):
    """A mesh of processes, all of them forked from ``zygote``."""

    zygote: ZygoteClient

    def start(self, configure: Callable[[], None]) -> None:
        """Start everything; ``configure`` is called as soon as the control plane answers.

        The work overlaps: while processes come up, the next modules are imported.
        """
        zygote = self.zygote
        pods = self._lay_out()
        preloads = [zygote.post("preload", modules=["mesh.pilot.main", "mesh.testbed.warm"])]
        pilot_asked = zygote.post_start(self.pilot_spec(pods))
        preloads.append(zygote.post("preload", modules=["services.server"]))
        applications = [pod for pod in pods if pod.outside or (pod.pod and not pod.gateway)]
        apps_asked = [(pod, *zygote.post_start(self._app_spec(pod))) for pod in applications]
        preloads.append(zygote.post("preload", modules=["mesh.mixer.main", *self.engine.modules()]))
        zygote.answer(preloads[0])
        pilot = Started("pilot", 0, self.folder.path / "pilot.log", pilot_asked[1])
        wait_ready([pilot])
        zygote.answer(pilot_asked[0])
        self.register([(node_of(pod), pod.pod) for pod in pods if not pod.outside])
        configure()
        apps = []
        for pod, number, ready in apps_asked:
            pid = int(zygote.answer(number)["pid"])
            apps.append(Started(f"application {pod.name}", pid, pod.folder / "app.log", ready))
        for number in preloads[1:]:
            zygote.answer(number)
        self.mixer_port = self._take_ports(1)[0]
        mixer = zygote.start_all([self.mixer_spec()])
        injected = [pod for pod in pods if pod.injected]
        sidecars = zygote.start_all(self._sidecar_spec(pod) for pod in injected)
        app_pids = {pod.name: app.pid for pod, app in zip(applications, apps, strict=True)}
        pids = {pod.name: side.pid for pod, side in zip(injected, sidecars, strict=True)}
        for pod in pods:
            app_pid, sidecar_pid = app_pids.get(pod.name, 0), pids.get(pod.name, 0)
            self.pods[pod.name] = replace(pod, app_pid=app_pid, sidecar_pid=sidecar_pid)
        wait_ready([*apps, *mixer, *sidecars])
        self.await_in_force(self.pods.values())

    def end(self, victim: LocalPod) -> None:
        """End a pod as ``kill -9`` would; the control plane hears of it if there is one."""
        zygote = self.zygote
        for pid in filter(None, (victim.sidecar_pid, victim.app_pid)):
            zygote.ask("kill", pid=pid)
        del self.pods[victim.name]
        self.killed.append(victim)
        if self.pilot_lives():
            self.pilot.remove_pods([(victim.name, victim.node.namespace)])
        zygote.ask("release", ports=victim.ports)

    def start_another(self, like: LocalPod) -> Pod:
        """Start a new pod of the workload of ``like``; it gets requests when it is ready."""
        zygote = self.zygote
        service, workload = self.workload_of(like)
        new = self._describe(service, workload)
        self.register([(node_of(new), None)])  # it gets requests when it is ready, not before
        specs = [self._app_spec(new), *([self._sidecar_spec(new)] if new.injected else [])]
        started = zygote.start_all(specs)
        sidecar_pid = started[1].pid if new.injected else 0
        self.pods[new.name] = replace(new, app_pid=started[0].pid, sidecar_pid=sidecar_pid)
        wait_ready(started)
        self.await_in_force([self.pods[new.name]])
        self.pilot.add_pods([(node_of(new), new.pod)])
        self.await_in_force(self.pods.values())
        assert new.pod is not None
        return new.pod

    def pilot_lives(self) -> bool:
        """Return whether there is a control plane to tell of a pod that comes or goes."""
        return bool(self._child("pilot"))

    def kill_pilot(self) -> None:
        """Kill the control plane as ``kill -9`` would; sidecars go on with what they have."""
        for name in ("pilot", "mixer"):  # Mixer follows the control plane, and ends without it
            if pid := self._child(name):
                self.zygote.ask("kill", pid=pid)

    def start_pilot(self) -> None:
        """Start the control plane again: it reads what was applied, and is told who runs."""
        if self._child("pilot"):
            raise TestbedError("the control plane runs already")
        pods = list(self.pods.values())
        wait_ready(self.zygote.start_all([self.pilot_spec(pods)]))
        self.register([(node_of(pod), pod.pod) for pod in pods if not pod.outside])
        wait_ready(self.zygote.start_all([self.mixer_spec()]))
        self.await_in_force(pods)

    def _child(self, name: str) -> int:
        """Return the process id of the child of that name, 0 when there is none."""
        living: dict[str, str] = self.zygote.ask("children")["children"]
        return next((int(pid) for pid, each in living.items() if each == name), 0)

    def await_in_force(self, pods: Iterable[LocalPod]) -> None:
        """Wait until pods have their configuration; a sidecar that ended is not waited for."""
        waiting = [pod for pod in pods if pod.injected]
        nodes = [pod.node.id for pod in waiting]
        for _ in range(_IN_FORCE_ROUNDS):
            found = self.pilot.in_force(nodes, _IN_FORCE_SECONDS)
            if found.in_force:
                return
            living = self.zygote.ask("children")["children"]
            for pod in waiting:
                if str(pod.sidecar_pid) not in living:
                    words = last_words(pod.folder / "sidecar.log")
                    raise TestbedError(f"the sidecar of {pod.name} ended: {words}")
            if found.nacks:
                break
        raise TestbedError(found.reason or f"no configuration in force at {found.missing}")

    def _lay_out(self) -> list[LocalPod]:
        pods = [
            self._describe(service, workload)
            for service in self.topology.services
            for workload in service.workloads
            for _ in range(workload.replicas)
        ]
        if self.topology.gateway:
            ports = self._take_ports(podlib.PORTS_OF_A_GATEWAY)
            gateway = podlib.make_gateway(self.topology, ports, self.folder.path, self.seed)
            gateway = podlib.with_mtls(gateway) if self.engine.mtls else gateway
            gateway.folder.mkdir()
            pods.append(gateway)
        if self.topology.egress_gateway:
            ports = self._take_ports(podlib.PORTS_OF_AN_EGRESS)
            egress = podlib.make_egress(self.topology, ports, self.folder.path, self.seed)
            egress = podlib.with_mtls(egress) if self.engine.mtls else egress
            egress.folder.mkdir()
            pods.append(egress)
        if self.topology.world:
            needed = sum(len(each.ports) for each in self.topology.world)
            world = podlib.make_world(self.topology, self._take_ports(needed), self.folder.path)
            world.folder.mkdir()
            pods.append(world)
        return pods

    def _describe(self, service: Service, workload: Workload) -> LocalPod:
        name = podlib.pod_name(workload, self.count, self.seed)
        socket = self.folder.socket(FIRST_APP + self.count)
        self.count += 1
        ports = self._take_ports(podlib.ports_needed(service, workload, len(self.tcp)))
        pod = podlib.make_pod(service, workload, name, ports, self.folder.path, socket, self.tcp)
        pod = podlib.with_mtls(pod) if self.engine.mtls and pod.injected else pod
        pod.folder.mkdir()
        return pod

    def _take_ports(self, count: int) -> list[int]:
        return [int(port) for port in self.zygote.ask("ports", count=count)["ports"]]

    def _app_spec(self, pod: LocalPod) -> ChildSpec:
        if pod.outside:
            return podlib.world_spec(pod)
        roots = podlib.outside_roots(self.topology, self.folder.path)
        return podlib.app_spec(pod, self.workload_of(pod)[1], self.tcp, roots)

    def _sidecar_spec(self, pod: LocalPod) -> ChildSpec:
        agent = None
        if pod.node.mtls:
            api = self.folder.socket(API)
            agent = AgentOptions(pod.node.id, pod.folder, api, pod.node.spiffe_id)
        spec = self.engine.spec(pod.node, self.folder.socket(ADS), pod.folder, agent)
        workload = None if pod.gateway else self.workload_of(pod)[1]
        if workload is not None and len(workload.filter) > 1:
            if self.engine.name != "mitmproxy":
                raise TestbedError("a filter in Python runs in the mitmproxy sidecar only")
            return replace(spec, options={**spec.options, "filter": list(workload.filter)})
        return spec
