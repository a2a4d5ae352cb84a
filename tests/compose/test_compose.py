"""The Compose runtime on this machine's Docker (`make test-compose`).

Without a Docker these tests say that they were left out; continuous integration does not accept
that.  One mesh serves most of them.
"""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from mesh.state import RunFolder
from mesh.testbed.client import TestbedError
from mesh.testbed.compose import docker as engine
from mesh.testbed.compose.project import RUN_LABEL
from mesh.testbed.compose.testbed import ComposeTestbed
from mesh.testbed.load_topology import load_topology
from tests.compose.needs import DOCKER
from tests.compose.rules import DISABLE, EGRESS, ENTRY, HOSTILE, NOT_FROM, PASSTHROUGH

ROOT = Path(__file__).parents[2]
LIMIT = 300.0
"""Seconds after which a mesh that should mend itself is given up: never reached by one that does."""
pytestmark = [pytest.mark.compose, DOCKER]
TOPOLOGY = load_topology(
    {
        "egress_gateway": True,
        "world": {"edition.cnn.com": {"ports": [80, 443]}},
        "services": {
            "customer": None,
            "preference": None,
            "recommendation": {"workloads": [{"version": "v1"}, {"version": "v2"}]},
            "echo": {"app": "tcp_echo", "ports": [{"number": 9000, "name": "tcp"}]},
            "mirror": {"app": "tcp_echo", "ports": [{"number": 9000, "name": "tcp"}]},
        },
    }
)


@pytest.fixture(scope="module", params=["mitmproxy", "envoy"])
def mesh(request: pytest.FixtureRequest) -> Iterator[ComposeTestbed]:
    """Run a mesh in containers; all tests of an engine share it."""
    with ComposeTestbed(TOPOLOGY, engine=request.param, seed="test") as bed:
        yield bed


def left_over(run: Path) -> list[str]:
    chosen = {"label": f"{RUN_LABEL}={run}"}
    with closing(engine.client()) as docker:
        found = [str(each.name) for each in docker.containers.list(all=True, filters=chosen)]
        return found + [str(each.name) for each in docker.networks.list(filters=chosen)]


def run_in(mesh: ComposeTestbed, service: str, code: str) -> str:
    """Run Python in a container of the mesh, as its own user."""
    name = f"{mesh.run.name}-{service}-1"
    done = subprocess.run(
        ["docker", "exec", name, "python", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_compose_file_is_clean(mesh: ComposeTestbed) -> None:
    done = subprocess.run(
        ["docker", "compose", "-f", str(mesh.run.path / "compose.yaml"), "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_compose_file_is_clean_with_what_can_stand_beside_the_mesh(
    mesh: ComposeTestbed,
) -> None:
    words = ["--profile", "observability", "--profile", "locust", "config", "--format", "json"]
    done = subprocess.run(
        ["docker", "compose", "-f", str(mesh.run.path / "compose.yaml"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)["services"]
    assert {"prometheus", "grafana", "jaeger", "locust", "locust-worker-1"} <= set(found)
    for name in ("prometheus", "grafana", "jaeger"):
        assert re.search(r":v?\d+\.\d+\.\d+$", found[name]["image"])
        assert all(Path(each["source"]).exists() for each in found[name].get("volumes", []))


def test_the_dashboards_draw_what_the_mesh_exports(mesh: ComposeTestbed) -> None:
    assert mesh.request("/").status == 200
    mesh.telemetry()
    base = mesh.metrics_url.removesuffix("/metrics")
    targets = json.loads(urlopen(f"{base}/targets").read())
    pods = {each["labels"]["pod"] for each in targets}
    assert pods == set(mesh.proxies())
    text = ""
    for each in targets:
        text += urlopen(base + each["labels"]["__metrics_path__"]).read().decode()
    exported = set(re.findall(r"^([a-z_]+)(?:\{| )", text, re.MULTILINE))
    drawn = set()
    for path in (ROOT / "compose" / "observability" / "grafana" / "dashboards").glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                drawn |= set(re.findall(r"(?:istio|envoy)_[a-z_]+", target["expr"]))
    assert len(drawn) > 9
    assert drawn - exported == set()


def test_an_application_s_plain_request_passes_both_sidecars(mesh: ComposeTestbed) -> None:
    caller = mesh.find("preference")
    code = (
        "import urllib.request as u, os; assert not [x for x in os.environ if 'proxy' in x.lower()];"
        "r = u.Request('http://recommendation:8080/', headers={'x-request-id': 'plain-1'});"
        "print(u.urlopen(r).read().decode())"
    )
    assert "recommendation v" in run_in(mesh, caller.name, code)
    hops = [each for each in mesh.access_log() if each.request_id == "plain-1"]
    assert [each.direction for each in hops if each.pod == caller.name] == ["outbound"]
    (arrived,) = [each for each in hops if each.direction == "inbound"]
    assert arrived.downstream_remote_address.partition(":")[0] == caller.node.address


def sniffed(mesh: ComposeTestbed, pod: str) -> str:
    """Return what a capture on the pod's interface sees of one request to it."""
    seen = b""
    with mesh.tap(pod) as wire:
        assert mesh.request("http://preference:8080/", from_pod="customer").status == 200
        while b"GET / HTTP" not in seen and b"\x17\x03\x03" not in seen:
            chunk = wire.next()
            assert chunk is not None
            seen += chunk.data if chunk.to_pod else b""
    return "plain text" if b"GET / HTTP" in seen else "TLS"


def test_the_wire_shows_tls_and_without_it_plain_text(mesh: ComposeTestbed) -> None:
    assert sniffed(mesh, "preference") == "TLS"
    mesh.apply([("mtls.yaml", DISABLE)])
    assert sniffed(mesh, "preference") == "plain text"
    mesh.delete([("PeerAuthentication", "tutorial", "default")])


def test_a_hostile_application_gets_neither_around_the_mesh_nor_out_of_it(
    mesh: ComposeTestbed,
) -> None:
    subnet = mesh.containers.project.subnet
    places = {"sockets": str(mesh.run.path / "s"), "gateway": subnet.gateway}
    found = json.loads(run_in(mesh, mesh.find("customer").name, HOSTILE % places))
    assert [name for name, result in found.items() if result == "done"] == []


def test_what_leaves_a_pod_ends_at_its_sidecar_whatever_address_it_is_for(
    mesh: ComposeTestbed,
) -> None:
    gateway = mesh.containers.project.subnet.gateway
    code = (
        "import http.client as h\n"
        "for host in {!r}:\n"
        "    for port in (22, 8080):\n"
        "        c = h.HTTPConnection(host, port, timeout=20)\n"
        "        try:\n"
        "            c.request('GET', '/')\n"
        "            print(c.getresponse().status)\n"
        "        except (ConnectionError, h.RemoteDisconnected):\n"
        "            print('closed')\n"
    )
    places = [gateway, "172.17.0.1", "192.0.2.7"]
    answers = run_in(mesh, mesh.find("customer").name, code.format(places))
    # 8080 is a port of the mesh, where the sidecar speaks HTTP; elsewhere it passes bytes on.
    assert answers.split() == ["closed", "503"] * 3


def test_a_name_needs_no_pod_and_unknown_ones_exist_nowhere(mesh: ComposeTestbed) -> None:
    mesh.apply([("entry.yaml", ENTRY)])
    code = (
        "import socket, urllib.request as u\n"
        "for name in ('recommendation.tutorial', 'pay.example', 'a.corp.example', 'nobody.example'):\n"
        "    try:\n"
        "        print(socket.gethostbyname(name))\n"
        "    except OSError as e:\n"
        "        print(e.errno == socket.EAI_NONAME)\n"
        "print(u.urlopen('http://a.corp.example/').read().decode())\n"
    )
    answers = run_in(mesh, mesh.find("customer").name, code).splitlines()
    assert answers[0].startswith("10.96.")
    assert answers[1].startswith("240.240.")
    assert answers[2:4] == ["240.240.255.1", "True"]
    assert answers[4].startswith("recommendation v")
    mesh.delete([("ServiceEntry", "tutorial", name) for name in ("pay", "corp")])


def test_tcp_services_of_one_port_are_told_apart_by_their_addresses(mesh: ComposeTestbed) -> None:
    code = (
        "import socket, os\n"
        "for name in ('echo', 'mirror', os.environ['MIRROR_SERVICE_HOST']):\n"
        "    s = socket.create_connection((name, 9000), timeout=20)\n"
        "    s.sendall(b'hello\\n')\n"
        "    print(s.recv(99))\n"
        "    s.close()\n"
    )
    caller = mesh.find("customer")
    assert run_in(mesh, caller.name, code).split() == ["b'v1", "hello\\n'"] * 3
    log = [each for each in mesh.access_log(caller.name) if ":9000" in each.upstream_host]
    hosts = [each.upstream_host.partition(":")[0] for each in log]
    assert hosts == [mesh.find(name).node.address for name in ("echo", "mirror", "mirror")]


def test_the_world_outside_is_reached_as_the_egress_rules_say(mesh: ComposeTestbed) -> None:
    url = "://edition.cnn.com/politics"
    for scheme in ("http", "https"):
        assert "edition.cnn.com answers" in mesh.request(scheme + url, from_pod="customer").text
    mesh.apply([("egress.yaml", EGRESS)])
    headers = {"x-request-id": "out-1"}
    found = mesh.request("http" + url, from_pod="customer", headers=headers)
    assert found.text.strip() == "edition.cnn.com answers /politics"
    hops = [each for each in mesh.access_log() if each.request_id == "out-1"]
    assert [each.pod for each in hops] == [
        mesh.find("customer").name,
        mesh.find("istio-egressgateway").name,
    ]
    mesh.delete(
        [(kind, "tutorial", "cnn") for kind in ("ServiceEntry", "VirtualService", "Gateway")]
    )


def test_with_passthrough_the_caller_chooses_and_who_it_is_shows_in_its_address(
    mesh: ComposeTestbed,
) -> None:
    caller = mesh.find("customer")
    policy = NOT_FROM.format(address=caller.node.address)
    mesh.apply([("rule.yaml", PASSTHROUGH), ("policy.yaml", policy)])
    refused = mesh.request("http://recommendation:8080/", from_pod="customer")
    assert (refused.status, refused.text) == (403, "RBAC: access denied")
    code = (
        "import socket, urllib.request as u, json\n"
        "found = socket.gethostbyname_ex('recommendation')[2]\n"
        "ask = lambda ip: u.urlopen(u.Request(f'http://{ip}:8080/', headers={'host': 'recommendation:8080'}))\n"
        "print(json.dumps({ip: [ask(ip).read().decode() for _ in range(3)] for ip in found}))\n"
    )
    found = json.loads(run_in(mesh, mesh.find("preference").name, code))
    pods = [each for each in mesh.pods() if each.service == "recommendation"]
    assert sorted(found) == sorted(each.address for each in pods)
    for each in pods:
        assert all(each.name in answer for answer in found[each.address])
    mesh.delete(
        [
            ("DestinationRule", "tutorial", "recommendation"),
            ("AuthorizationPolicy", "tutorial", "recommendation"),
        ]
    )


@pytest.mark.parametrize("part", ["", "-sidecar", "-pod", "restart -pod"])
def test_a_pod_whose_container_ends_is_mended(mesh: ComposeTestbed, part: str) -> None:
    pod = mesh.find("preference")
    container = f"{mesh.run.name}-{pod.name}{part.removeprefix('restart ')}-1"
    words = ["restart", "-t", "0"] if part.startswith("restart") else ["kill"]
    before = started(container)
    subprocess.run(["docker", *words, container], check=True, capture_output=True)
    end = time.monotonic() + LIMIT
    while started(container) == before or not answers(mesh):
        assert time.monotonic() < end, (mesh.run.path / "warden.log").read_text()


@pytest.mark.parametrize("part", ["pilot", "mixer"])
def test_a_part_of_the_control_plane_that_ends_is_started_again(
    mesh: ComposeTestbed, part: str
) -> None:
    container = f"{mesh.run.name}-{part}-1"
    before = started(container)
    subprocess.run(["docker", "kill", container], check=True, capture_output=True)
    end = time.monotonic() + LIMIT
    while started(container) == before or not takes_changes(mesh):
        assert time.monotonic() < end, (mesh.run.path / "warden.log").read_text()
    assert answers(mesh)


def takes_changes(mesh: ComposeTestbed) -> bool:
    """Whether something can be applied, and its traffic is counted."""
    try:
        mesh.apply([("mtls.yaml", DISABLE)])
        mesh.delete([("PeerAuthentication", "tutorial", "default")])
        mesh.telemetry()
        with urlopen(mesh.metrics_url) as answer:
            return bool(answer.status == 200)
    except (TestbedError, OSError):
        return False


def started(container: str) -> str:
    """When the container was started last, if it runs now."""
    words = ["docker", "inspect", "-f", "{{.State.Running}} {{.State.StartedAt}}", container]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def answers(mesh: ComposeTestbed) -> bool:
    """Whether a request passes the whole mesh."""
    try:
        return mesh.request("/").text.startswith("customer => preference => recommendation")
    except TestbedError:
        return False


def test_a_killed_pod_is_replaced(mesh: ComposeTestbed) -> None:
    old = mesh.find("recommendation-v2").name
    new = mesh.kill_pod("recommendation-v2").name
    assert old != new
    assert new in [pod.name for pod in mesh.pods()]
    assert mesh.request("/").status == 200


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_dies_leaves_nothing_behind(number: signal.Signals) -> None:
    code = (
        "from mesh.testbed.compose.testbed import ComposeTestbed\n"
        "from mesh.testbed.load_topology import load_topology\n"
        "bed = ComposeTestbed(load_topology({'gateway': False, 'services': {'customer': None}}))\n"
        "with bed:\n"
        "    print(bed.run.path, bed.run.owner().pid, flush=True)\n"
        "    import time; time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = ""
        while not line.startswith("/"):
            line = process.stdout.readline()
            assert line, "the mesh did not start"
        path, warden = line.split()
        owner = RunFolder(Path(path)).owner()
        process.send_signal(number)
        process.wait()
    end = time.monotonic() + LIMIT
    while owner is not None and owner.alive():
        assert time.monotonic() < end, f"the warden {warden} still runs"
    assert left_over(Path(path)) == []
    assert not Path(path).exists()
