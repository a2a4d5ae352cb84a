"""Layout: the pods of a mesh in containers, each with an address of its own.

A pod's containers share one network: its address is the pod's, its ports are the Service's, and
the sidecar's listeners have Istio's numbers (15001 outbound, 15006 inbound).  All files and Unix
sockets of a pod are in ``RUN/p/NUMBER``, at the same path inside of its containers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mesh.state import check_socket_path
from mesh.testbed import pods as podlib
from mesh.testbed.pods import LocalPod
from mesh.topology import Port, Service, Topology, Workload

OUTBOUND, INBOUND, ADMIN = 15001, 15006, 15000
TCP_FIRST = 15100
"""First of the ports by which an application without capture reaches the raw TCP services."""
GATEWAY_FIRST = 15200
APP_FOLDER = "app"
"""Folder of the pod's folder that the application may write to."""


def folder_of(run: Path, number: int) -> Path:
    """Return the folder of pod ``number``; short, for the sake of its Unix sockets."""
    return run / "p" / str(number)


def make_folder(folder: Path) -> None:
    """Make a pod's folder; users of its containers write there, nobody else can come here."""
    for path in (folder, folder / APP_FOLDER):
        path.mkdir(parents=True)
        path.chmod(0o777)
    (folder / "sds").mkdir()


def _in_container(pod: LocalPod, folder: Path, address: str) -> LocalPod:
    node = replace(
        pod.node,
        address=address,
        bind="0.0.0.0",
        app_socket="",
        admin_socket=str(check_socket_path(folder / "admin")) if pod.injected else "",
        access_log=str(folder / "access.jsonl"),
    )
    return replace(pod, node=node, folder=folder)


def make_pod(
    service: Service,
    workload: Workload,
    name: str,
    address: str,
    folder: Path,
    tcp: Sequence[tuple[Service, Port]],
    *,
    captured: bool,
) -> LocalPod:
    """Lay out a pod.

    ``captured``: its traffic is redirected to the sidecar; otherwise others have to call the
    sidecar's own ports.
    """
    count = len(service.ports)
    tcp = [] if captured else tcp  # they have addresses of their own
    ports = [INBOUND + n for n in range(count)]
    ports += [TCP_FIRST + n for n in range(len(tcp))]
    made = podlib.make_pod(service, workload, name, [*ports, OUTBOUND, ADMIN], folder, folder, tcp)
    made = _in_container(made, folder, address)
    assert made.pod is not None
    app_port = service.ports[0].number
    reached = {port.number: port.number for port in service.ports}
    if not workload.injected:
        reached = dict.fromkeys(reached, app_port)
    elif not captured:
        reached = made.node.inbound_ports
    node = replace(made.node, app_port=app_port, captured=captured and workload.injected)
    return replace(made, node=node, pod=replace(made.pod, address=address, ports=reached))


def make_egress(topology: Topology, address: str, folder: Path, seed: str) -> LocalPod:
    """Lay out the egress gateway, to which sidecars send."""
    ports = [GATEWAY_FIRST + n for n in range(podlib.PORTS_OF_AN_EGRESS - 1)]
    made = _in_container(
        podlib.make_egress(topology, [*ports, ADMIN], folder, seed), folder, address
    )
    assert made.pod is not None
    return replace(made, pod=replace(made.pod, address=address))


def make_world(topology: Topology, address: str, folder: Path) -> LocalPod:
    """Lay out the application that answers for every name outside, at the ports themselves."""
    made = podlib.make_world(topology, [], folder, own_ports=True)
    first = next(iter(made.world.values()))
    node = replace(made.node, address=address, app_port=first)
    return replace(made, node=node, folder=folder)


def make_gateway(topology: Topology, address: str, folder: Path, seed: str) -> LocalPod:
    """Lay out the ingress gateway."""
    ports = [GATEWAY_FIRST + n for n in range(len(podlib.GATEWAY_PORTS))]
    made = podlib.make_gateway(topology, [*ports, ADMIN], folder, seed)
    return _in_container(made, folder, address)
