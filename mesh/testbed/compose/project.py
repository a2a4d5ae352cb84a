"""Project: the Compose file of one mesh, a pure function of its pods.

A pod is four containers, as in Kubernetes: ``X-pod`` owns the network, ``X-init`` writes the
capture rules and ends, ``X-sidecar`` and ``X`` (the application) share the network.  Every
container is read-only, without capabilities (but the init's NET_ADMIN), without new privileges,
with limits; the application's has no way to the control plane's sockets.
Shown by ``docker compose -f RUN/compose.yaml config``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.state import RunFolder
from mesh.testbed.child import ChildSpec
from mesh.testbed.compose import layout, rules
from mesh.testbed.compose.network import Subnet
from mesh.testbed.plain import to_plain
from mesh.testbed.pods import LocalPod
from mesh.topology import Workload

RUN_LABEL = "mesh-lab.run"
"""Label of everything that belongs to a mesh: the path of its run folder."""
GATE = "gate"
CONTROL_UID = 1338
"""The user of control plane and Mixer where this command runs as root."""
METRICS_PORT = 15014

SCRATCH = "/tmp:size=8m,mode=1777"  # noqa: S108  inside of a container

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Project:
    """What the file is made of; ``captured``: whether iptables may be used (NET_ADMIN)."""

    run: RunFolder
    image: str
    subnet: Subnet
    captured: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)

    def file(self, services: Mapping[str, Spec]) -> dict[str, Any]:
        """Return the whole Compose file."""
        return {
            "name": self.run.name,
            "services": dict(services),
            "networks": {
                "mesh": {
                    "labels": self._labels,
                    "ipam": {
                        "config": [{"subnet": self.subnet.text, "gateway": self.subnet.gateway}]
                    },
                },
                "control": {"labels": self._labels},
            },
        }

    @property
    def _labels(self) -> dict[str, str]:
        return {RUN_LABEL: str(self.run.path)}

    def _hardened(self, command: Sequence[str], *, user: int, memory: str, pids: int = 256) -> Spec:
        return {
            "image": self.image,
            "pull_policy": "never",
            "command": [each.replace("$", "$$") for each in command],
            "user": f"{user}:{user}",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "mem_limit": memory,
            "memswap_limit": memory,
            "pids_limit": pids,
            "ulimits": {"nofile": {"soft": 8192, "hard": 8192}, "core": 0},
            "tmpfs": [SCRATCH],
            "logging": {"driver": "json-file", "options": {"max-size": "4m", "max-file": "2"}},
            "stop_grace_period": "1s",
            "labels": self._labels,
        }

    def _part(self, spec: ChildSpec, *, user: int, memory: str, gate: str = "") -> Spec:
        words = ["python", "-m", "mesh.testbed.compose.entry", json.dumps(to_plain(spec))]
        return self._hardened([*words, gate] if gate else words, user=user, memory=memory)

    def control(self, pilot: ChildSpec, mixer: ChildSpec) -> dict[str, Spec]:
        """Return control plane and Mixer; neither is on the pods' network."""
        folder = self.run.path
        user = os.getuid() or CONTROL_UID
        sockets = bind(folder / "s")
        plane = self._part(pilot, user=user, memory="512m")
        plane["volumes"] = [sockets, bind(folder / "control"), bind(folder / "p")]
        plane["network_mode"] = "none"
        telemetry = self._part(mixer, user=user, memory="512m", gate=str(folder / "control" / GATE))
        telemetry["volumes"] = [sockets, bind(folder / "control"), bind(folder / "p", write=False)]
        telemetry["networks"] = {"control": {}}
        telemetry["ports"] = [f"127.0.0.1::{METRICS_PORT}"]
        return {"pilot": plane, "mixer": telemetry}

    def pod(
        self,
        pod: LocalPod,
        sidecar: ChildSpec | None,
        app: Spec | None,
        aliases: Sequence[str],
    ) -> dict[str, Spec]:
        """Return the containers of a pod."""
        owner = f"{pod.name}-pod"
        words = ["python", "-m", "mesh.testbed.compose.door"]
        door = self._hardened(
            [
                *words,
                str(pod.folder),
                str(pod.node.app_port),
                str(int(self.captured and pod.node.outbound_port > 0)),
            ],
            user=rules.APP_UID,
            memory="64m",
            pids=32,
        )
        door["volumes"] = [bind(pod.folder)]
        door["hostname"] = pod.name
        network: dict[str, Any] = {"ipv4_address": pod.node.address}
        if aliases:
            network["aliases"] = list(aliases)
        door["networks"] = {"mesh": network}
        if pod.node.captured:
            # Whom Docker's resolver asks about names that it does not know: the sidecar (``rules``).
            door["dns"] = ["127.0.0.1"]
        if pod.node.gateway_ports:
            door["ports"] = [f"127.0.0.1::{port}" for port in pod.node.gateway_ports.values()]
        made = {owner: door}
        ready: dict[str, Any] = {owner: {"condition": "service_started", "restart": True}}
        if self.captured:
            made[f"{pod.name}-init"] = self._init(pod, owner)
            ready[f"{pod.name}-init"] = {"condition": "service_completed_successfully"}
        shared: Spec = {"network_mode": f"service:{owner}", "depends_on": ready}
        if sidecar is not None:
            gate = str(pod.folder / GATE)
            part = self._part(sidecar, user=rules.SIDECAR_UID, memory="256m", gate=gate)
            uid = rules.SIDECAR_UID
            part["tmpfs"].append(f"{pod.folder / 'sds'}:size=1m,mode=0700,uid={uid},gid={uid}")
            part["volumes"] = [bind(self.run.path / "s"), bind(pod.folder)]
            made[f"{pod.name}-sidecar"] = part | shared
        if app is not None:
            made[pod.name] = app | shared
        return made

    def _init(self, pod: LocalPod, owner: str) -> Spec:
        init = self._hardened(["nft", self._rules(pod)], user=0, memory="32m", pids=16)
        init["cap_add"] = ["NET_ADMIN"]
        init["network_mode"] = f"service:{owner}"
        init["depends_on"] = {owner: {"condition": "service_started", "restart": True}}
        return init

    def _rules(self, pod: LocalPod) -> str:
        gateway = pod.node.gateway_ports.values()
        place = (self.subnet.text, self.subnet.gateway)
        if not pod.injected:
            return rules.fence([pod.node.app_port], *place)
        return rules.capture(pod.node.inbound_ports, pod.node.outbound_port, *place, gateway)

    def app(self, pod: LocalPod, workload: Workload, environment: Mapping[str, str]) -> Spec:
        """Return the application's container: it knows nothing of the mesh.

        ``environment`` is what Kubernetes would tell it of raw TCP services.
        """
        listen = "0.0.0.0" if self.captured or not pod.injected else "127.0.0.1"
        words = ["python", "-m", "services.server", workload.app.removeprefix("services.")]
        words += [f"{listen}:{pod.node.app_port}", "--version", workload.version]
        words += ["--options", json.dumps(workload.options), "--journal", str(pod.journal)]
        app = self._hardened(words, user=rules.APP_UID, memory="128m", pids=64)
        app["ipc"] = "none"
        app["environment"] = {"HOSTNAME": pod.name, **environment}
        if not self.captured and pod.injected:
            app["environment"]["http_proxy"] = f"http://127.0.0.1:{pod.node.outbound_port}"
        app["volumes"] = [bind(pod.folder / layout.APP_FOLDER)]
        return app


def bind(folder: Path, *, write: bool = True) -> Spec:
    """Mount a folder at its own path."""
    return {
        "type": "bind",
        "source": str(folder),
        "target": str(folder),
        "read_only": not write,
        "bind": {"create_host_path": False},
    }
