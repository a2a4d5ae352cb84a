"""ContainerPlan: which containers the pods of a mesh are made of, before any of them runs.

From the topology it lays out pods with addresses and folders, and writes them into the Compose
file (``project``): sidecars, applications, handed-in code, gateways, the world outside, control plane
and Mixer.  ``ComposeDeployment`` starts what is written here.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from mesh.agent.agent import AgentOptions
from mesh.agent.dns import DnsOptions
from mesh.pilot.translate.view import COMPOSE
from mesh.testbed import pods as podlib
from mesh.testbed.child import ChildSpec
from mesh.testbed.client import TestbedError
from mesh.testbed.compose import layout, profiles
from mesh.testbed.compose.docker import Compose
from mesh.testbed.compose.project import CALL_CODE, CONTROL_UID, GATE, METRICS_PORT, Project, Spec
from mesh.testbed.plain import to_plain
from mesh.testbed.pods import LocalPod
from mesh.testbed.podset import ADS, API, PodSet
from mesh.topology import Service, Workload
from services import outside_ca

DEADLINE = 60.0
"""Seconds for a change to be in force: a dozen containers may have to share one processor."""
ROOTS = "roots"
"""Folder of the run folder with what callers of names outside have to trust."""


@dataclass(slots=True, kw_only=True)
class ContainerPlan(PodSet):
    """A mesh of containers: ``project`` makes its file, ``compose`` knows where it is.

    ``load_image`` is the image with Locust, ``""`` where it is not wanted.
    """

    compose: Compose
    project: Project
    load_image: str = ""

    def make_folders(self) -> None:
        """Make what all containers share, private to this user."""
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

    def lay_out(self) -> list[LocalPod]:
        """Lay out all pods of the topology, gateways and the world outside included."""
        pods = [
            self.describe(service, workload)
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

    def describe(self, service: Service, workload: Workload) -> LocalPod:
        """Lay out one more pod of a workload."""
        name = podlib.pod_name(workload, self.count, self.seed)
        address, folder = self._place()
        captured = self.project.captured
        pod = layout.make_pod(service, workload, name, address, folder, self.tcp, captured=captured)
        return podlib.with_mtls(pod) if self.engine.mtls and pod.injected else pod

    def write(self) -> None:
        """Write the Compose file of all pods as they are now."""
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

    def _app(self, pod: LocalPod) -> Spec | None:
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
            "deadline": DEADLINE,
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
