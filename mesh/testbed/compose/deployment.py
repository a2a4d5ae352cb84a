"""ComposeDeployment: the pods of one mesh in containers.

One `docker compose up` starts everything side by side.  A sidecar's process imports its modules and
then waits at its gate (``entry``) for its bootstrap token; the control plane answers meanwhile, the
pods are registered, the gates are opened, and the mesh is there when every sidecar has its
configuration in force and every application answers.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from docker.client import DockerClient
from docker.errors import DockerException
from docker.models.containers import Container

from mesh.agent.agent import AgentOptions
from mesh.agent.dns import DnsOptions
from mesh.pilot.client import PilotError
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate.view import COMPOSE
from mesh.testbed import pods as podlib
from mesh.testbed.child import ChildSpec
from mesh.testbed.client import TestbedError
from mesh.testbed.compose import door, layout, profiles
from mesh.testbed.compose.docker import Compose
from mesh.testbed.compose.project import CALL_CODE, CONTROL_UID, GATE, METRICS_PORT, Project
from mesh.testbed.compose.project import Spec as Part
from mesh.testbed.plain import to_plain
from mesh.testbed.pods import LocalPod
from mesh.testbed.podset import ADS, API, PodSet, node_of
from mesh.topology import Pod, Service, Workload
from services import outside_ca

ROOTS = "roots"
"""Folder of the run folder with what callers of names outside have to trust."""
START_SECONDS = 300.0
"""Long enough for a machine whose processors are all taken: nothing waits for its end."""
PAUSE = 0.05
"""Seconds between two looks at what gives no sign by itself: a process in a container."""


@dataclass(slots=True, kw_only=True)
class ComposeDeployment(PodSet):
    """A mesh of containers: ``project`` writes its file, ``compose`` starts it."""

    docker: DockerClient
    compose: Compose
    project: Project

    load_image: str = ""
    """The image with Locust; ``""``: it is not wanted."""
    published: dict[str, dict[int, int]] = field(default_factory=dict)
    """Compose service -> its port -> port of 127.0.0.1 on this machine."""

    def start(self, configure: Callable[[], None]) -> None:
        """Start everything; ``configure`` is called as soon as the control plane answers."""
        self._make_folders()
        pods = self._lay_out()
        self.pods = {pod.name: pod for pod in pods}
        self._write()
        self.compose.up()
        self.await_pilot()
        self.open_gate(self.folder.path / "control" / GATE, "mixer", "")
        self.register([(node_of(pod), pod.pod) for pod in pods if not pod.outside])
        configure()
        self.await_doors(pods)
        self.await_in_force(pods)
        self.mixer_port = self.port("mixer", METRICS_PORT)

    def _make_folders(self) -> None:
        run = self.folder.path
        for name in ("control", "p"):
            (run / name).mkdir()
        (run / "s").chmod(0o755)
        if os.getuid() == 0:
            for path in (run / "control", run / "s"):
                os.chown(path, CONTROL_UID, CONTROL_UID)
        self._make_gate(run / "control" / GATE)

    @staticmethod
    def _make_gate(path: Path) -> None:
        os.mkfifo(path)
        path.chmod(0o644)

    def _lay_out(self) -> list[LocalPod]:
        pods = [
            self._describe(service, workload)
            for service in self.topology.services
            for workload in service.workloads
            for _ in range(workload.replicas)
        ]
        if self.topology.gateway:
            address, folder = self._place()
            gateway = layout.make_gateway(self.topology, address, folder, self.seed)
            pods.append(podlib.with_mtls(gateway) if self.engine.mtls else gateway)
        if self.topology.egress_gateway:
            address, folder = self._place()
            egress = layout.make_egress(self.topology, address, folder, self.seed)
            pods.append(podlib.with_mtls(egress) if self.engine.mtls else egress)
        if self.topology.world:
            address, folder = self._place()
            pods.append(layout.make_world(self.topology, address, folder))
            self._make_certificates(folder)
        return pods

    @property
    def outside_roots(self) -> str:
        """The file with the authority of the names outside; ``""`` where none speaks TLS."""
        return str(self.folder.path / ROOTS / outside_ca.ROOTS) if self.topology.encrypted else ""

    def _make_certificates(self, world: Path) -> None:
        """Make the certificates of the names outside; what callers trust lies for itself."""
        if not self.topology.encrypted:
            return
        folder = world / podlib.CERTIFICATES
        outside_ca.make_certificates(folder, [each.name for each in self.topology.world])
        for path in folder.iterdir():
            path.chmod(0o644)  # the run folder is private, the world's user another one
        folder.chmod(0o755)
        roots = self.folder.path / ROOTS
        roots.mkdir()
        shutil.copy(folder / outside_ca.ROOTS, roots)

    def _place(self) -> tuple[str, Path]:
        number = self.count
        self.count += 1
        folder = layout.folder_of(self.folder.path, number)
        layout.make_folder(folder)
        self._make_gate(folder / GATE)
        return self.project.subnet.address(number), folder

    def _describe(self, service: Service, workload: Workload) -> LocalPod:
        name = podlib.pod_name(workload, self.count, self.seed)
        address, folder = self._place()
        captured = self.project.captured
        pod = layout.make_pod(service, workload, name, address, folder, self.tcp, captured=captured)
        return podlib.with_mtls(pod) if self.engine.mtls and pod.injected else pod

    def _write(self) -> None:
        services = self.project.control(self._pilot(), self._mixer())
        roots = self.folder.path / ROOTS if self.topology.encrypted else None
        for pod in self.pods.values():
            sidecar = self._sidecar(pod) if pod.injected else None
            services |= self.project.pod(
                pod, sidecar, self._app(pod), self._names(pod), roots, self._code(pod)
            )
        services |= profiles.observability(self.project.hardened)
        if visited := self._visited():
            image = self.load_image or self.project.image
            services |= profiles.locust(self.project.hardened, image, visited)
        self.compose.write(self.project.file(services))

    def _visited(self) -> str:
        """Return the gateway's URL inside of the mesh's network; ``""`` without a gateway."""
        for pod in self.pods.values():
            if pod.gateway and pod.pod is None:
                return (
                    f"http://{pod.node.address}:{pod.node.gateway_ports[podlib.GATEWAY_PORTS[0]]}"
                )
        return ""

    def _app(self, pod: LocalPod) -> Part | None:
        """Return the application's container; None for a gateway."""
        if not pod.has_application:
            return None
        if pod.outside:
            spec = podlib.world_spec(pod)
            told = {"hosts": [each.name for each in self.topology.world], **spec.options["options"]}
            ports = sorted(set(pod.world.values()))
            return self.project.app(pod, "external", told, {}, ports)
        _, workload = self.workload_of(pod)
        environment = self.environment(pod)
        if self.outside_roots:
            environment["SSL_CERT_FILE"] = self.outside_roots
        name, options = workload.app.removeprefix("services."), dict(workload.options)
        if len(workload.code) > 1:
            options["code"] = CALL_CODE
        return self.project.app(
            pod, name, options, environment, [pod.node.app_port], workload.version
        )

    def _code(self, pod: LocalPod) -> tuple[str, ...]:
        """Return the command of what a student handed in for a pod; empty for nothing."""
        if pod.outside or not pod.has_application:
            return ()
        _, workload = self.workload_of(pod)
        found = workload.code if len(workload.code) > 1 else workload.filter
        return found if len(found) > 1 else ()

    def _names(self, pod: LocalPod) -> list[str]:
        """Return the names by which Docker's resolver knows a pod."""
        if pod.outside:
            return [each.name for each in self.topology.world]
        if pod.pod is None:
            return []
        found = (each for each in self.topology.all_services if each.name == pod.pod.service)
        service = next(each for each in found if each.namespace == pod.pod.namespace)
        return [service.name, f"{service.name}.{service.namespace}", service.hostname]

    def _pilot(self) -> ChildSpec:
        spec = self.pilot_spec(list(self.pods.values()))
        control = self.folder.path / "control"
        options = spec.options | {
            "store": str(control / "resources"),
            "citadel": str(control / "citadel"),
            "runtime": COMPOSE,
            "socket_mode": 0o666,
        }
        return replace(spec, options=options)

    def _mixer(self) -> ChildSpec:
        spec = self.mixer_spec()
        options = spec.options | {
            "port": METRICS_PORT,
            "address": "0.0.0.0",
            "socket_mode": 0o666,
        }
        if profiles.OBSERVABILITY in self.compose.profiles:
            options["zipkin_url"] = profiles.ZIPKIN
        return replace(spec, options=options)

    def _sidecar(self, pod: LocalPod) -> ChildSpec:
        agent = None
        if pod.node.mtls:
            api = self.folder.socket(API)
            agent = AgentOptions(pod.node.id, pod.folder, api, pod.node.spiffe_id)
        spec = self.engine.spec(pod.node, self.folder.socket(ADS), pod.folder, agent)
        if not pod.gateway and len(self.workload_of(pod)[1].filter) > 1:
            if self.engine.name != "mitmproxy":
                raise TestbedError("a filter in Python runs in the mitmproxy sidecar only")
            spec = replace(spec, options={**spec.options, "filter": CALL_CODE})
        if not pod.node.captured:
            return spec
        dns = DnsOptions(pod.node.id, self.folder.socket(API))
        return replace(spec, options={**spec.options, "dns": to_plain(dns)})

    # Readiness.

    def _await(self, ready: Callable[[], bool], service: str) -> None:
        """Ask until it is so; TestbedError when the container ends, or after too long."""
        end = time.monotonic() + START_SECONDS
        looked = time.monotonic()
        while not ready():
            now = time.monotonic()
            if now - looked > 1:
                looked = now
                self.check_running(service)
            if now > end:
                raise TestbedError(f"{service} is not ready after {START_SECONDS:g} s")
            time.sleep(PAUSE)

    def check_running(self, service: str) -> None:
        """Raise TestbedError, with its last words, when a container has ended."""
        container = self.container(service)
        if container.status not in ("running", "created"):
            words = container.logs(tail=4).decode("utf-8", "replace").strip().splitlines()
            raise TestbedError(f"the container {service} ended: {' '.join(words[-2:])}")

    def container(self, service: str) -> Container:
        """Return the SDK's object of a Compose service's container."""
        try:
            return self.docker.containers.get(f"{self.compose.name}-{service}-1")
        except DockerException as problem:
            raise TestbedError(f"no container {service}: {problem}") from None

    def await_pilot(self) -> None:
        """Wait until the control plane answers."""
        self._await(self.pilot.ready, "pilot")

    def hand_over_token(self, node: ProxyNode, token: str) -> None:
        """Open the gate of a sidecar."""
        folder = self._folder_of(node)
        self.open_gate(folder / GATE, f"{node.pod}-sidecar", token)

    def _folder_of(self, node: ProxyNode) -> Path:
        return Path(node.access_log).parent

    def open_gate(self, gate: Path, service: str, token: str) -> None:
        """Give a waiting process its token."""
        written = False

        def write() -> bool:
            nonlocal written
            try:
                fd = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as problem:
                if problem.errno == errno.ENXIO:  # nobody waits there yet
                    return False
                raise
            with os.fdopen(fd, "w") as file:
                file.write(token + "\n")
            return True

        self._await(write, service)

    def await_doors(self, pods: Iterable[LocalPod]) -> None:
        """Wait until each pod's application takes connections, and its traffic is captured."""
        for pod in pods:
            self._await(partial(_says_ready, pod), f"{pod.name}-pod")
            if pod.has_application:
                self.check_running(pod.name)

    def await_in_force(self, pods: Iterable[LocalPod]) -> None:
        """Wait until pods have their configuration; a sidecar that ended is not waited for."""
        waiting = [pod for pod in pods if pod.injected]
        nodes = [pod.node.id for pod in waiting]
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                found = self.pilot.in_force(nodes, 3.0)
            except PilotError as problem:
                raise TestbedError(str(problem)) from None
            if found.in_force:
                return
            for pod in waiting:
                self.check_running(f"{pod.name}-sidecar")
            if found.nacks or time.monotonic() > end:
                raise TestbedError(found.reason or f"no configuration in force at {found.missing}")

    def port(self, service: str, number: int) -> int:
        """Return the port of this machine that leads to a container's port."""
        known = self.published.get(service)
        if known is None or number not in known:
            raw = self.container(service).attrs["NetworkSettings"]["Ports"] or {}
            known = {
                int(name.split("/")[0]): int(places[0]["HostPort"])
                for name, places in raw.items()
                if places
            }
            self.published[service] = known
        if number not in known:
            raise TestbedError(f"port {number} of {service} is not published")
        return known[number]

    # Change.

    def end(self, victim: LocalPod) -> None:
        """End a pod as ``kill -9`` would."""
        names = self.containers_of(victim)
        for name in names:
            self.container(name).remove(force=True)
        del self.pods[victim.name]
        self.killed.append(victim)
        self.pilot.remove_pods([(victim.name, victim.node.namespace)])
        self._write()

    def start_another(self, like: LocalPod) -> Pod:
        """Start a new pod of the workload of ``like``; it gets requests when it is ready."""
        service, workload = self.workload_of(like)
        new = self._describe(service, workload)
        self.pods[new.name] = new
        self._write()
        self.compose.up(*self.containers_of(new))
        self.register([(node_of(new), None)])  # it gets requests when it is ready, not before
        self.await_doors([new])
        self.await_in_force([new])
        self.pilot.add_pods([(node_of(new), new.pod)])
        self.await_in_force(self.pods.values())
        assert new.pod is not None
        return new.pod

    def kill_pilot(self) -> None:
        """Kill the control plane as ``kill -9`` would; sidecars go on with what they have."""
        self.halted.touch()
        for name in ("pilot", "mixer"):
            container = self.container(name)
            if container.status == "running":
                container.kill()

    def start_pilot(self) -> None:
        """Start the control plane again: it reads what was applied, and is told who runs."""
        if self.container("pilot").status == "running":
            raise TestbedError("the control plane runs already")
        self.halted.unlink(missing_ok=True)
        self.revive_control()
        self.await_in_force(self.pods.values())

    def revive_control(self) -> None:
        """Start control plane and Mixer where they have ended, and register the pods anew."""
        for name in ("pilot", "mixer"):
            self.container(name).start()
        self.await_pilot()
        pods = [pod for pod in self.pods.values() if not pod.outside]
        self.pilot.add_pods([(node_of(pod), pod.pod) for pod in pods])
        self.open_gate(self.folder.path / "control" / GATE, "mixer", "")

    @property
    def halted(self) -> Path:
        """A file that says that the control plane was killed on purpose."""
        return self.folder.path / "halted"

    def containers_of(self, pod: LocalPod) -> list[str]:
        """Return the Compose services of a pod, those that use its network first."""
        names = [pod.name] if pod.has_application else []
        if pod.injected:
            names.append(f"{pod.name}-sidecar")
        if self._code(pod):
            names.append(f"{pod.name}-code")
        if self.project.captured:
            names.append(f"{pod.name}-init")
        return [*names, f"{pod.name}-pod"]


def _says_ready(pod: LocalPod) -> bool:
    """Ask a pod's door, which answers when it is so; False when there is no door yet."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(str(pod.folder / door.READY))
            return sock.recv(1) == b"1"
        except OSError:
            return False
