"""What a mesh in containers is made of, before there is a Docker: files, rules, addresses."""

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mesh.state import RunFolder
from mesh.testbed.compose import image, layout, network, rules
from mesh.testbed.compose.network import Subnet
from mesh.testbed.compose.project import Project
from mesh.testbed.compose.testbed import owned
from mesh.testbed.engines import engine
from mesh.testbed.load_topology import load_topology
from mesh.testbed.pods import LocalPod

TOPOLOGY = load_topology(
    {
        "services": {
            "customer": None,
            "echo": {"app": "tcp_echo", "ports": [{"number": 9000, "name": "tcp"}]},
        }
    }
)
SUBNET = Subnet("10.77.3.0/24")


def pod(folder: Path, *, captured: bool = True, service: int = 0) -> LocalPod:
    chosen = TOPOLOGY.services[service]
    address = SUBNET.address(0)
    return layout.make_pod(
        chosen, chosen.workloads[0], "customer-v1-x-y", address, folder, [], captured=captured
    )


def test_a_captured_pod_is_reached_at_its_own_address_and_the_ports_of_its_service(
    tmp_path: Path,
) -> None:
    found = pod(tmp_path)
    assert found.pod is not None
    assert (found.pod.address, found.pod.ports) == ("10.77.3.10", {8080: 8080})
    assert found.node.inbound_ports == {8080: layout.INBOUND}
    assert (found.node.bind, found.node.app_port, found.node.app_socket) == ("0.0.0.0", 8080, "")
    assert found.node.admin == str(tmp_path / "admin")


def test_without_capture_others_call_the_sidecars_own_port(tmp_path: Path) -> None:
    found = pod(tmp_path, captured=False)
    assert found.pod is not None
    assert found.pod.ports == {8080: layout.INBOUND}


def services(
    folder: Path, *, captured: bool = True, code: tuple[str, ...] = ()
) -> dict[str, dict[str, object]]:
    run = RunFolder(folder)
    project = Project(run, "kit:1", SUBNET, captured)
    found = pod(folder, captured=captured)
    sidecar = engine("mitmproxy").spec(found.node, folder / "ads", folder, None)
    app = project.app(found, "customer", {}, {}, [8080])
    made = project.file(project.pod(found, sidecar, app, ["customer"], None, code))
    return dict(json.loads(json.dumps(made))["services"])


def test_every_container_is_hardened_and_only_the_init_may_change_the_network(
    tmp_path: Path,
) -> None:
    found = services(tmp_path)
    assert len(found) == 4
    for name, each in found.items():
        assert each["read_only"] is True
        assert each["cap_drop"] == ["ALL"]
        assert each["security_opt"] == ["no-new-privileges:true"]
        assert each["pids_limit"]
        assert each["mem_limit"]
        assert each.get("cap_add", []) == (["NET_ADMIN"] if name.endswith("-init") else [])
    users = {name.removeprefix("customer-v1-x-y"): each["user"] for name, each in found.items()}
    assert users == {"-pod": "1000:1000", "-init": "0:0", "-sidecar": "1337:1337", "": "1000:1000"}


def test_the_application_knows_nothing_of_the_mesh_and_has_no_way_to_its_sockets(
    tmp_path: Path,
) -> None:
    app = services(tmp_path)["customer-v1-x-y"]
    assert app["environment"] == {"HOSTNAME": "customer-v1-x-y"}
    assert [each["target"] for each in app["volumes"]] == [str(tmp_path / "app")]  # type: ignore[attr-defined]


def test_handed_in_code_has_a_container_that_reaches_nothing(tmp_path: Path) -> None:
    command = ("python", "-I", "/tmp/x/worker.py", "forward", "/tmp/x/propagation.py")
    found = services(tmp_path, code=command)
    code: Any = found["customer-v1-x-y-code"]
    assert (code["network_mode"], code["ipc"], code["user"]) == ("none", "none", "1339:1339")
    assert (code["cap_drop"], code["read_only"], code["pids_limit"]) == (["ALL"], True, 32)
    assert [(each["source"], each["target"]) for each in code["volumes"]] == [
        ("/tmp/x", "/hand-in"),
        ("customer-v1-x-y-code", "/code"),
    ]
    assert code["volumes"][0]["read_only"]
    assert code["command"][-3:] == ["/hand-in/worker.py", "forward", "/hand-in/propagation.py"]


def test_the_world_has_the_ports_of_its_names_and_is_fenced_like_a_pod(tmp_path: Path) -> None:
    topology = load_topology(
        {
            "services": {"customer": None},
            "world": {"a.example": {"ports": [80, 443]}, "b.example": None},
        }
    )
    world = layout.make_world(topology, "10.77.3.20", tmp_path)
    assert world.world == {"a.example:80": 80, "a.example:443": 443, "b.example:80": 80}
    assert world.has_application and not world.injected
    made = Project(RunFolder(tmp_path), "kit:1", SUBNET)
    app = made.app(world, "external", {}, {}, [80, 443])
    found = made.pod(world, None, app, ["a.example", "b.example"])
    assert set(found) == {"world", "world-pod", "world-init"}
    assert "tcp dport { 80, 443 } accept" in found["world-init"]["command"][-1]
    assert found["world-pod"]["networks"]["mesh"]["aliases"] == ["a.example", "b.example"]


def test_without_net_admin_the_application_has_a_proxy_and_there_is_no_init(
    tmp_path: Path,
) -> None:
    found = services(tmp_path, captured=False)
    assert "customer-v1-x-y-init" not in found
    assert found["customer-v1-x-y"]["environment"] == {
        "HOSTNAME": "customer-v1-x-y",
        "http_proxy": "http://127.0.0.1:15001",
    }


def test_the_rules_name_every_port_and_leave_docker_s_own_table_alone() -> None:
    text = rules.capture({8080: 15006, 9000: 15007}, 15001, "10.77.3.0/24", "10.77.3.1", [15200])
    assert "redirect to :tcp dport map { 8080 : 15006, 9000 : 15007 }" in text
    assert "meta skuid 1337 return" in text
    assert "tcp dport { 15006, 15007, 15200 } accept" in text
    assert "ip daddr 10.77.3.1 reject" in text
    assert {line.removesuffix(" {") for line in text.splitlines() if "table" in line} == {
        "table ip mesh",
        "delete table ip mesh",
    }
    assert "flush" not in text
    assert " nat " not in text.replace("type nat hook", "")


@pytest.mark.parametrize(
    "taken", [[], ["10.64.0.0/11"], ["10.64.0.0/16", "10.100.0.0/14", "172.17.0.0/16"]]
)
def test_a_subnet_overlaps_nothing_that_is_there(taken: list[str]) -> None:
    import ipaddress

    found = ipaddress.ip_network(network.choose(taken, Random(1)).text)
    assert found.subnet_of(network.POOL)  # type: ignore[arg-type]
    assert not any(found.overlaps(ipaddress.ip_network(each)) for each in taken)


def test_no_free_subnet_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="is free"):
        network.choose(["10.0.0.0/8"], Random(1))


def test_routes_are_read_from_the_kernel_s_table(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
        "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n"
        "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"
    )
    assert network.routes(table) == ["192.168.1.0/255.255.255.0"]


def test_the_image_s_tag_changes_with_what_is_in_it(tmp_path: Path) -> None:
    for part in image.PARTS:
        place = tmp_path / part
        place.parent.mkdir(exist_ok=True)
        if part.startswith("compose/"):
            place.write_text("FROM x\n")
        else:
            place.mkdir()
            (place / "a.py").write_text("1\n")
    first = image.digest(tmp_path)
    assert image.digest(tmp_path) == first
    (tmp_path / "mesh" / "__pycache__").mkdir()
    (tmp_path / "mesh" / "__pycache__" / "a.pyc").write_text("1\n")
    assert image.digest(tmp_path) == first
    (tmp_path / "mesh" / "a.py").write_text("2\n")
    assert image.digest(tmp_path) != first


def test_a_mesh_of_another_home_is_left_alone_while_its_owner_lives(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert not owned(tmp_path)
    run.hand_over(os.getpid())
    assert owned(tmp_path)
    assert not owned(tmp_path / "gone")
