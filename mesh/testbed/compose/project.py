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
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.state import RunFolder
from mesh.testbed.child import ChildSpec
from mesh.testbed.compose import code_door, layout, rules
from mesh.testbed.compose.network import Subnet
from mesh.testbed.plain import to_plain
from mesh.testbed.pods import CERTIFICATES, LocalPod

RUN_LABEL = "mesh-lab.run"
"""Label of everything that belongs to a mesh: the path of its run folder."""
GATE = "gate"
READY = ".ready"
"""How the files end into which control plane and Mixer write that they work."""
CODE_UID = 1339
"""The user of handed-in code: neither a sidecar's nor an application's."""
CONTROL_UID = 1338
"""The user of control plane and Mixer where this command runs as root."""
METRICS_PORT = 15014

KIT = Path("/kit/mesh/testbed/compose")
DOOR, CALLER = KIT / "code_door.py", KIT / "code_caller.py"
"""Inside of a container."""
CALL_CODE = ["python", "-P", str(CALLER), str(code_door.SOCKET)]
"""The command by which application or sidecar reach handed-in code."""
SCRATCH = "/tmp:size=8m,mode=1777"  # noqa: S108  inside of a container

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Project:
    """What the file is made of; ``captured``: whether iptables may be used (NET_ADMIN).

    ``ports`` are the ports of this machine that were given to ports of containers so far: they stay,
    whatever is started again.
    """

    run: RunFolder
    image: str
    subnet: Subnet
    captured: bool = True
    ports: dict[str, int] = field(default_factory=dict)

    def _publish(self, service: str, number: int) -> str:
        """Return the line that lets a port of this machine lead to a container's port."""
        key = f"{service}:{number}"
        if key not in self.ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.ports[key] = free.getsockname()[1]
        return f"127.0.0.1:{self.ports[key]}:{number}"

    def file(self, services: Mapping[str, Spec]) -> dict[str, Any]:
        """Return the whole Compose file."""
        named = [each["source"] for spec in services.values() for each in spec.get("volumes", ())]
        memory = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=1777"}
        return {
            "volumes": {
                name: {"labels": self._labels, "driver_opts": memory}
                for name in dict.fromkeys(named)
                if "/" not in name
            },
            "name": self.run.name,
            "services": dict(services),
            "networks": {
                "mesh": {
                    "labels": self._labels,
                    "ipam": {
                        "config": [
                            {
                                "subnet": self.subnet.text,
                                "gateway": self.subnet.gateway,
                                "ip_range": self.subnet.others,
                            }
                        ]
                    },
                },
                "control": {"labels": self._labels},
            },
        }

    @property
    def _labels(self) -> dict[str, str]:
        return {RUN_LABEL: str(self.run.path)}

    def hardened(self, command: Sequence[str], *, user: int, memory: str, pids: int = 256) -> Spec:
        """Return a container of the kit's image without rights, with limits."""
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

    def _part(
        self, spec: ChildSpec, *, user: int, memory: str, gate: str = "", ready: str = ""
    ) -> Spec:
        words = ["python", "-m", "mesh.testbed.compose.entry", json.dumps(to_plain(spec))]
        return self.hardened([*words, gate, ready], user=user, memory=memory)

    def control(self, pilot: ChildSpec, mixer: ChildSpec) -> dict[str, Spec]:
        """Return control plane and Mixer; neither is on the pods' network."""
        folder = self.run.path
        user = os.getuid() or CONTROL_UID
        sockets = bind(folder / "s")
        gate = str(folder / "control" / GATE)
        ready = {name: str(folder / "control" / f"{name}{READY}") for name in ("pilot", "mixer")}
        plane = self._part(pilot, user=user, memory="512m", ready=ready["pilot"])
        plane["volumes"] = [sockets, bind(folder / "control"), bind(folder / "p")]
        plane["network_mode"] = "none"
        telemetry = self._part(mixer, user=user, memory="512m", gate=gate, ready=ready["mixer"])
        telemetry["volumes"] = [sockets, bind(folder / "control"), bind(folder / "p", write=False)]
        telemetry["networks"] = {"control": {}}
        telemetry["ports"] = [self._publish("mixer", METRICS_PORT)]
        return {"pilot": plane, "mixer": telemetry}

    def pod(
        self,
        pod: LocalPod,
        sidecar: ChildSpec | None,
        app: Spec | None,
        aliases: Sequence[str],
        roots: Path | None = None,
        code: Sequence[str] = (),
    ) -> dict[str, Spec]:
        """Return the containers of a pod.

        ``aliases``: its names for Docker's resolver; ``roots``: the folder with the authority of
        the names outside of the mesh; ``code``: the command of code that a student handed in.
        """
        owner = f"{pod.name}-pod"
        words = ["python", "-m", "mesh.testbed.compose.door"]
        door = self.hardened(
            [
                *words,
                str(pod.folder),
                str(pod.node.app_port),
                str(int(self.captured and pod.node.outbound_port > 0)),
                str(0 if self.captured else pod.node.outbound_port),
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
        if pod.node.gateway_ports and pod.pod is None:  # nobody outside calls the egress gateway
            listening = pod.node.gateway_ports.values()
            door["ports"] = [self._publish(owner, port) for port in listening]
        made = {owner: door}
        ready: dict[str, Any] = {owner: {"condition": "service_started", "restart": True}}
        if self.captured:
            made[f"{pod.name}-init"] = self._init(pod, owner)
            ready[f"{pod.name}-init"] = {"condition": "service_completed_successfully"}
        trusted = [bind(roots, write=False)] if roots is not None else []
        if code:
            made[f"{pod.name}-code"] = self.code(pod, code)
            ready[f"{pod.name}-code"] = {"condition": "service_started"}
            trusted.append(self.calls_code(pod))
        shared: Spec = {"network_mode": f"service:{owner}", "depends_on": ready}
        if sidecar is not None:
            gate = str(pod.folder / GATE)
            part = self._part(sidecar, user=rules.SIDECAR_UID, memory="256m", gate=gate)
            uid = rules.SIDECAR_UID
            part["tmpfs"].append(f"{pod.folder / 'sds'}:size=1m,mode=0700,uid={uid},gid={uid}")
            part["volumes"] = [bind(self.run.path / "s"), bind(pod.folder), *trusted]
            made[f"{pod.name}-sidecar"] = part | shared
        if app is not None:
            made[pod.name] = app | shared | {"volumes": [*app["volumes"], *trusted]}
        return made

    def _init(self, pod: LocalPod, owner: str) -> Spec:
        init = self.hardened(["nft", self._rules(pod)], user=0, memory="32m", pids=16)
        init["cap_add"] = ["NET_ADMIN"]
        init["network_mode"] = f"service:{owner}"
        init["depends_on"] = {owner: {"condition": "service_started", "restart": True}}
        return init

    def _rules(self, pod: LocalPod) -> str:
        gateway = pod.node.gateway_ports.values()
        place = (self.subnet.text, self.subnet.gateway)
        if not pod.injected:
            return rules.fence(pod.world.values() or [pod.node.app_port], *place)
        return rules.capture(pod.node.inbound_ports, pod.node.outbound_port, *place, gateway)

    def code(self, pod: LocalPod, command: Sequence[str]) -> Spec:
        """Return the container in which a student's code runs: it reaches nothing, see docs.

        ``command``: the interpreter, ``-I``, the worker, its kind and the file, all in one folder.
        """
        worker, kind, file = (Path(command[2]), command[3], Path(command[4]))
        words = ["python", "-P", str(DOOR), str(code_door.SOCKET), "python", "-P"]
        words += [str(code_door.WHERE / worker.name), kind, str(code_door.WHERE / file.name)]
        code = self.hardened(words, user=CODE_UID, memory="256m", pids=32)
        code["ulimits"] |= {"cpu": 120, "fsize": 16 << 20, "nofile": 256}
        code["network_mode"] = "none"
        code["ipc"] = "none"
        code["environment"] = {"PYTHONPATH": "/kit/packages"}
        code["working_dir"] = str(code_door.WHERE)
        folder = bind(worker.parent, write=False) | {"target": str(code_door.WHERE)}
        code["volumes"] = [folder, self.calls_code(pod)]
        return code

    @staticmethod
    def calls_code(pod: LocalPod) -> Spec:
        """Mount the memory disk on which a pod's code listens."""
        name, target = f"{pod.name}-code", str(code_door.SOCKET.parent)
        return {"type": "volume", "source": name, "target": target}

    def app(
        self,
        pod: LocalPod,
        name: str,
        options: Mapping[str, object],
        environment: Mapping[str, str],
        ports: Sequence[int],
        version: str = "v1",
    ) -> Spec:
        """Return the application's container: it knows nothing of the mesh.

        ``environment`` is what Kubernetes would tell it of raw TCP services.
        """
        address = "0.0.0.0" if self.captured or not pod.injected else "127.0.0.1"
        words = ["python", "-m", "services.server", name]
        words += [",".join(f"{address}:{port}" for port in ports), "--version", version]
        words += ["--options", json.dumps(options), "--journal", str(pod.journal)]
        app = self.hardened(words, user=rules.APP_UID, memory="128m", pids=64)
        app["ipc"] = "none"
        app["environment"] = {"HOSTNAME": pod.name, **environment}
        if not self.captured and pod.injected:
            app["environment"]["http_proxy"] = f"http://127.0.0.1:{pod.node.outbound_port}"
        app["volumes"] = [bind(pod.folder / layout.APP_FOLDER)]
        if pod.outside and (pod.folder / CERTIFICATES).is_dir():
            app["volumes"].append(bind(pod.folder / CERTIFICATES, write=False))
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
