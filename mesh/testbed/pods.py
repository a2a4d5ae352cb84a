"""LocalPod: one pod of the local runtime, application and sidecar, with all that belongs to it.

In Kubernetes a Deployment makes pods of a template and names them ``<deployment>-<hash>-<random>``;
here the random part follows from the seed, so a run can be repeated with the same names (the
maps of consistent hashing depend on them).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mesh.pilot.node import ProxyNode
from mesh.testbed.child import ChildSpec
from mesh.topology import (
    HTTPS,
    ISTIO,
    TCP_PROTOCOLS,
    TLS_MODE,
    Pod,
    Port,
    Service,
    Topology,
    Workload,
    egress_service,
)

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' alphabet for generated names: no vowels, no words."""

GATEWAY_PORTS = (80, 443, 31400)
"""Ports of the ingress gateway's Service: HTTP, HTTPS, and Istio's usual one for raw TCP."""

WORLD = "world"
"""Name of the outside application."""
CERTIFICATES = "certificates"
"""Its folder of certificates, with ``ca.pem``."""

PORTS_OF_A_GATEWAY = len(GATEWAY_PORTS) + 1
PORTS_OF_AN_EGRESS = 3
"""80, 443 and the admin port."""


@dataclass(frozen=True, slots=True)
class LocalPod:
    """A pod's identity, ports, folder and processes; ``pod`` is None for the ingress gateway.

    ``workload`` is its place in the topology: (service, workload), empty for gateways.  An egress
    gateway has a ``pod``, because sidecars send to it.  ``app_pid`` and ``sidecar_pid``
    are 0 before the start.  A pod without a sidecar has a node without ports.  ``world`` is the
    outside application's: ``host:port`` -> the port on which it plays it.
    """

    node: ProxyNode
    folder: Path
    pod: Pod | None = None
    workload: tuple[str, str] = ("", "")
    app_pid: int = 0
    sidecar_pid: int = 0
    world: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The pod's name."""
        return self.node.pod

    @property
    def injected(self) -> bool:
        """Whether it has a sidecar."""
        return self.node.admin_port > 0

    @property
    def gateway(self) -> bool:
        """Whether it is a gateway: a sidecar without an application."""
        return self.node.type == "router"

    @property
    def application(self) -> str | int:
        """Where its application listens: a Unix socket, or without a sidecar a port."""
        return self.node.app_socket or self.ports[0]

    @property
    def journal(self) -> Path:
        """The file in which its application writes down what it handles."""
        return self.folder / ("app/journal.jsonl" if self.node.app_port else "journal.jsonl")

    @property
    def has_application(self) -> bool:
        """Whether an application runs in it: not in a gateway."""
        return self.outside or (self.pod is not None and not self.gateway)

    @property
    def outside(self) -> bool:
        """Whether it is no pod but the application that plays the world outside of the mesh."""
        return bool(self.world)

    @property
    def ports(self) -> list[int]:
        """All ports that are held for it."""
        inbound = set(self.world.values())
        if self.pod is not None and not self.gateway:
            inbound = set(self.pod.ports.values())
        others = [
            *self.node.gateway_ports.values(),
            *self.node.tcp_ports.values(),
            self.node.outbound_port,
            self.node.admin_port,
        ]
        return [port for port in (*sorted(inbound), *others) if port]


def _word(text: str, length: int) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[index])
    return "".join(letters)


def pod_name(workload: Workload, number: int, seed: str) -> str:
    """Return ``recommendation-v1-<10 letters of the template>-<5 of pod ``number``>``."""
    template = f"{workload.app} {workload.version} {sorted(workload.labels.items())}"
    return f"{workload.name}-{_word(template, 10)}-{_word(f'{seed} {workload.name} {number}', 5)}"


def tcp_services(topology: Topology) -> list[tuple[Service, Port]]:
    """Return the ports of the mesh that are not HTTP: each sidecar has a listener for each."""
    return [
        (service, port)
        for service in topology.services
        for port in service.ports
        if port.protocol in TCP_PROTOCOLS
    ]


def ports_needed(service: Service, workload: Workload, tcp: int = 0) -> int:
    """Count the ports of a pod: inbound ones, TCP services', outbound, admin; one without a sidecar."""
    return len(service.ports) + tcp + 2 if workload.injected else 1


def make_pod(
    service: Service,
    workload: Workload,
    name: str,
    ports: list[int],
    run: Path,
    socket: Path,
    tcp: Sequence[tuple[Service, Port]] = (),
) -> LocalPod:
    """Lay out a pod; ``ports`` as many as ``ports_needed`` says, ``socket`` its application's."""
    labels = {"app": service.name, "version": workload.version, **workload.labels}
    account = workload.service_account or "default"
    injected = workload.injected
    inbound = {port.number: ports[n if injected else 0] for n, port in enumerate(service.ports)}
    folder = run / name
    node = ProxyNode(
        pod=name,
        namespace=service.namespace,
        labels=labels,
        service_account=account,
        services=(service.hostname,),
        inbound_ports=inbound if injected else {},
        outbound_port=ports[-2] if injected else 0,
        admin_port=ports[-1] if injected else 0,
        app_socket=str(socket) if injected else "",
        tcp_ports={
            f"{each.hostname}:{port.number}": ports[len(service.ports) + number]
            for number, (each, port) in enumerate(tcp)
            if injected
        },
        access_log=str(folder / "access.jsonl"),
        locality=workload.locality,
    )
    pod = Pod(
        name=name,
        namespace=service.namespace,
        service=service.name,
        workload=workload.name,
        labels=labels,
        service_account=account,
        address=node.address,
        ports=inbound,
        locality=workload.locality,
    )
    return LocalPod(node, folder, pod, (service.name, workload.name))


def make_gateway(topology: Topology, ports: list[int], run: Path, seed: str) -> LocalPod:
    """Lay out the ingress gateway: a sidecar without an application."""
    template, suffix = _word(topology.gateway, 10), _word(f"{seed} {topology.gateway}", 5)
    name = f"{topology.gateway}-{template}-{suffix}"
    folder = run / name
    node = ProxyNode(
        pod=name,
        namespace=topology.namespace,
        type="router",
        labels={"app": topology.gateway, "istio": "ingressgateway"},
        service_account=topology.gateway,
        admin_port=ports[-1],
        access_log=str(folder / "access.jsonl"),
        gateway_ports=dict(zip(GATEWAY_PORTS, ports, strict=False)),
    )
    return LocalPod(node, folder)


def make_egress(topology: Topology, ports: list[int], run: Path, seed: str) -> LocalPod:
    """Lay out the egress gateway, a gateway that sidecars find as a service.

    Like Istio's it does not say that it takes mutual TLS: who wants it to, writes ISTIO_MUTUAL.
    """
    service = egress_service(topology.egress_gateway)
    workload = service.workloads[0]
    name = f"{service.name}-{_word(service.name, 10)}-{_word(f'{seed} {service.name}', 5)}"
    folder = run / name
    node = ProxyNode(
        pod=name,
        namespace=service.namespace,
        type="router",
        labels=workload.labels,
        service_account=workload.service_account,
        services=(service.hostname,),
        admin_port=ports[-1],
        access_log=str(folder / "access.jsonl"),
        gateway_ports={port.number: ports[n] for n, port in enumerate(service.ports)},
    )
    pod = Pod(
        name=name,
        namespace=service.namespace,
        service=service.name,
        workload=service.name,
        labels=workload.labels,
        service_account=workload.service_account,
        address=node.address,
        ports=node.gateway_ports,
    )
    return LocalPod(node, folder, pod)


def with_mtls(pod: LocalPod) -> LocalPod:
    """Return the pod with the label that says that its sidecar can speak mutual TLS."""
    labels = {**pod.node.labels, TLS_MODE: ISTIO}
    workload = pod.pod
    if workload is not None and not pod.gateway:
        workload = replace(workload, labels=labels)
    return replace(pod, node=replace(pod.node, labels=labels), pod=workload)


def make_world(
    topology: Topology, ports: list[int], run: Path, *, own_ports: bool = False
) -> LocalPod:
    """Lay out the application that answers for every name outside, each port of a name its own.

    ``own_ports``: it has an address for itself, so that all names share the ports that they have.
    """
    keys = [f"{each.name}:{port}" for each in topology.world for port in each.ports]
    if own_ports:
        ports = [int(key.rpartition(":")[2]) for key in keys]
    node = ProxyNode(pod=WORLD, namespace=WORLD)
    return LocalPod(node, run / WORLD, world=dict(zip(keys, ports, strict=True)))


def world_spec(pod: LocalPod) -> ChildSpec:
    """Return the process that plays the world."""
    return ChildSpec(
        name="the world outside",
        module="services.server",
        function="run",
        options_type="AppOptions",
        options={
            "app": "services.external",
            "pod": pod.name,
            "listen": ",".join(f"{pod.node.address}:{port}" for port in pod.world.values()),
            "journal": str(pod.folder / "journal.jsonl"),
            "options": {
                "names": {str(port): key.rpartition(":")[0] for key, port in pod.world.items()},
                "https": [port for key, port in pod.world.items() if _https(key)],
                "certificates": str(pod.folder / CERTIFICATES),
            },
        },
        log=str(pod.folder / "app.log"),
    )


def _https(key: str) -> bool:
    """Whether ``host:port`` of the world speaks TLS."""
    return int(key.rpartition(":")[2]) in HTTPS


def outside_roots(topology: Topology, run: Path) -> str:
    """Return the file with the authority of the names outside; ``""`` where none speaks TLS."""
    return str(run / WORLD / CERTIFICATES / "ca.pem") if topology.encrypted else ""


def app_spec(
    pod: LocalPod,
    workload: Workload,
    tcp: Sequence[tuple[Service, Port]] = (),
    roots: str = "",
) -> ChildSpec:
    """Return the application process of a pod; without a sidecar it is reached at a port.

    ``roots``: the file with the authorities that the application trusts, for HTTPS to the outside.
    """
    node = pod.node
    listen = f"unix:{node.app_socket}" if pod.injected else f"{node.address}:{pod.application}"
    return ChildSpec(
        name=f"application {pod.name}",
        module="services.server",
        function="run",
        options_type="AppOptions",
        options={
            "app": workload.app,
            "pod": pod.name,
            "version": workload.version,
            "listen": listen,
            "proxy": f"http://127.0.0.1:{node.outbound_port}" if pod.injected else "",
            "journal": str(pod.folder / "journal.jsonl"),
            "options": workload.options
            | ({"code": list(workload.code)} if len(workload.code) > 1 else {}),
        },
        log=str(pod.folder / "app.log"),
        env={
            "HOSTNAME": pod.name,
            **({"SSL_CERT_FILE": roots} if roots else {}),
            **service_environment(node, tcp),
        },
    )


def service_environment(
    node: ProxyNode,
    tcp: Sequence[tuple[Service, Port]],
    virtual: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return what Kubernetes tells a container of Services, for those that speak raw TCP.

    ``ECHO_SERVICE_HOST``, ``ECHO_SERVICE_PORT`` (the first port), ``ECHO_SERVICE_PORT_TCP`` (the
    one named ``tcp``); as there, of Services in the pod's own namespace only.  ``virtual`` are the
    addresses of the Services where connections are captured.
    """
    found: dict[str, str] = {}
    for service, port in tcp:
        if node.captured and virtual is not None:
            host, listen = virtual[service.hostname], port.number
        else:
            host = "127.0.0.1"
            listen = node.tcp_ports.get(f"{service.hostname}:{port.number}", 0)
        if not listen or service.namespace != node.namespace:
            continue
        name = service.name.upper().replace("-", "_")
        found.setdefault(f"{name}_SERVICE_HOST", host)
        found.setdefault(f"{name}_SERVICE_PORT", str(listen))
        found[f"{name}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(listen)
    return found
