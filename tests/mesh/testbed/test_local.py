"""A whole mesh of real processes, on both engines."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import state
from mesh.testbed.base import ApplyError
from mesh.testbed.client import TestbedError
from mesh.testbed.load_topology import load_topology, standard_topology
from mesh.testbed.local import LocalTestbed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="waits on process descriptors")
ENGINES = ["mitmproxy", pytest.param("envoy", marks=pytest.mark.envoy)]
V1_ONLY = """
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: recommendation, namespace: tutorial}
spec:
  host: recommendation
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: recommendation, namespace: tutorial}
spec:
  hosts: [recommendation]
  http: [{route: [{destination: {host: recommendation, subset: v1}}]}]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("h")
    before = os.environ.get("MESH_LAB_HOME")
    os.environ["MESH_LAB_HOME"] = str(path / "m")
    yield path / "m"
    os.environ.pop("MESH_LAB_HOME")
    if before is not None:
        os.environ["MESH_LAB_HOME"] = before


@pytest.fixture(scope="module", params=ENGINES)
def bed(request: pytest.FixtureRequest, home: Path) -> Iterator[LocalTestbed]:
    with LocalTestbed(standard_topology(), engine=request.param, era="istio-1.9") as running:
        yield running
        folder = running.run.path
    assert not folder.exists()


def pidfds(bed: LocalTestbed) -> list[int]:
    """Descriptors of all processes of a mesh, Envoys below their supervisors included."""
    owner = bed.run.owner()
    assert owner is not None
    found, todo = [], [owner.pid]
    while todo:
        pid = todo.pop()
        found.append(os.pidfd_open(pid))
        todo += [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found


def ended(fds: list[int]) -> bool:
    for fd in fds:
        if not select.select([fd], [], [], 20)[0]:
            return False
        os.close(fd)
    return True


def test_a_request_passes_the_whole_chain(bed: LocalTestbed) -> None:
    answer = bed.request("/customer")
    assert answer.status == 200
    assert answer.text.startswith("customer => preference => recommendation v")


def test_every_hop_is_logged_when_the_log_is_read(bed: LocalTestbed) -> None:
    for number in range(20):
        name = f"all-hops-{number}"
        url = "http://preference:8080/"
        bed.request(url, from_pod="customer", headers={"x-request-id": name})
        hops = [line for line in bed.access_log() if line.request_id == name]
        assert len(hops) == 4, [(line.pod, line.direction) for line in hops]
        assert len([line for line in bed.journal() if line["request_id"] == name]) == 2


def test_a_request_is_explained_hop_by_hop(bed: LocalTestbed) -> None:
    bed.request("/customer", headers={"x-request-id": "explained"})
    hops = bed.explain("explained")
    ways = ["outbound", "inbound", "outbound", "inbound", "outbound", "inbound"]
    assert [hop["direction"] for hop in hops] == ways
    assert {hop["response_code"] for hop in hops} == {200}
    assert hops[4]["upstream_cluster"].startswith("outbound|8080||recommendation.")
    assert all(hop["steps"] for hop in hops) == (bed.engine == "mitmproxy")
    assert bed.explain("nobody-sent-this") == ()


def test_apply_is_in_force_when_it_returns(bed: LocalTestbed) -> None:
    result = bed.apply([("v1.yaml", V1_ONLY)])
    assert result.in_force and len(result.applied) == 2
    texts = {bed.request("/").text.split(" from ")[0] for _ in range(10)}
    assert texts == {"customer => preference => recommendation v1"}
    bed.apply([V1_ONLY.replace("subset: v1", "subset: v2")])
    texts = {bed.request("/").text.split(" from ")[0] for _ in range(10)}
    assert texts == {"customer => preference => recommendation v2"}


def test_resources_are_the_whole_configuration(bed: LocalTestbed) -> None:
    from mesh.istio.eras import era
    from mesh.istio.load import load_text

    resources = load_text(V1_ONLY, "v1.yaml", era=era("istio-1.9")).resources
    bed.apply(resources)
    assert len(bed.pilot.resources()) == 4
    bed.apply(resources[:1])
    kinds = sorted(row["kind"] for row in bed.pilot.resources())
    assert kinds == ["DestinationRule", "Gateway", "VirtualService"]
    assert bed.request("/customer").status == 200
    bed.apply([])
    assert len(bed.pilot.resources()) == 2


def test_describe_asks_the_running_mesh(bed: LocalTestbed) -> None:
    from typer.testing import CliRunner

    from mesh.cli import app

    bed.apply([("v1.yaml", V1_ONLY)])
    asked = ["describe", "service", "recommendation", "--mesh", bed.run.name]
    result = CliRunner().invoke(app, asked)
    bed.apply([])
    assert result.exit_code == 0, result.output
    assert "VirtualService: recommendation at mesh   (v1.yaml:" in result.output
    assert "with weight 100%" in result.output


def test_a_refused_configuration_changes_nothing(bed: LocalTestbed) -> None:
    before = bed.pilot.resources()
    with pytest.raises(ApplyError, match=r"bad\.yaml:"):
        bed.apply([("bad.yaml", "kind: [")])
    assert bed.pilot.resources() == before


def test_a_request_from_a_pod(bed: LocalTestbed) -> None:
    answer = bed.request("http://recommendation:8080/", from_pod="customer")
    assert answer.text.startswith("recommendation v")
    with pytest.raises(TestbedError, match="a whole URL"):
        bed.request("/", from_pod="customer")
    with pytest.raises(TestbedError, match="there is no pod 'nobody'; there are customer-v1"):
        bed.request("http://a/", from_pod="nobody")


def test_a_killed_pod_is_replaced(bed: LocalTestbed) -> None:
    bed.apply([V1_ONLY])
    old = bed.find("recommendation-v1").name
    marked = {"x-request-id": "before-the-kill"}
    bed.request("http://recommendation:8080/", from_pod="customer", headers=marked)
    new = bed.kill_pod(old)
    assert new.name != old and new.name.rpartition("-")[0] == old.rpartition("-")[0]
    assert [pod.name for pod in bed.pods() if pod.workload == "recommendation-v1"] == [new.name]
    for number in range(1, 4):
        assert bed.request("/").text.endswith(f"recommendation v1 from '{new.name}': {number}\n")
    hops = [line for line in bed.access_log() if line.request_id == "before-the-kill"]
    assert old in {line.pod for line in hops}
    assert old in {line["pod"] for line in bed.journal()}
    bed.apply([])


def test_a_workload_is_scaled_to_nothing_and_back(bed: LocalTestbed) -> None:
    bed.apply([V1_ONLY])
    added, removed = bed.scale("recommendation-v1", 0)
    assert not added and len(removed) == 1
    assert bed.request("http://recommendation:8080/", from_pod="customer").status == 503
    bed.apply([])
    assert all("v2" in bed.request("/").text for _ in range(4))
    added, removed = bed.scale("recommendation-v1", 2)
    assert len(added) == 2 and not removed
    assert {pod.name for pod in bed.pods() if pod.workload == "recommendation-v1"} == set(added)
    assert bed.scale("recommendation-v1", 1) == ([], [max(added)])
    with pytest.raises(TestbedError, match="there is no workload 'nobody'; there are customer-v1"):
        bed.scale("nobody", 1)
    with pytest.raises(TestbedError, match="0 to 10 pods here, not 11"):
        bed.scale("customer-v1", 11)


def test_traffic_goes_on_without_a_control_plane(bed: LocalTestbed) -> None:
    bed.apply([V1_ONLY])
    bed.kill_pilot()
    answers = [bed.request("/").text for _ in range(6)]
    assert all("recommendation v1" in text for text in answers)
    with pytest.raises(TestbedError, match=r"the control plane at .* does not answer"):
        bed.apply([V1_ONLY.replace("subset: v1", "subset: v2")])
    with pytest.raises(TestbedError, match="no new pod gets a certificate"):
        bed.kill_pod("recommendation-v2")
    assert len([pod for pod in bed.pods() if pod.workload == "recommendation-v2"]) == 1
    added, removed = bed.scale("recommendation-v2", 0)
    assert not added and len(removed) == 1  # nobody is told, and v1 answers as before
    assert "recommendation v1" in bed.request("/").text
    bed.start_pilot()
    assert len(bed.scale("recommendation-v2", 1)[0]) == 1
    with pytest.raises(TestbedError, match="runs already"):
        bed.start_pilot()
    assert len(bed.pilot.resources()) == 4  # what was applied before
    bed.apply([V1_ONLY.replace("subset: v1", "subset: v2")])
    assert "recommendation v2" in bed.request("/").text
    assert bed.telemetry().graph().edges
    bed.kill_pod("recommendation-v2")
    assert "recommendation v2" in bed.request("/").text
    bed.apply([])


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_left_after_stop(home: Path, engine: str) -> None:
    bed = LocalTestbed(load_topology({"services": {"a": None}}), engine=engine)
    bed.start()
    fds = pidfds(bed)
    assert bed.request("/x").status == 200
    bed.stop()
    assert ended(fds)
    assert state.runs() == [] or bed._folder is None
    bed.stop()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("victim", ["zygote", "sidecar"])
def test_kill_9_leaves_no_process(home: Path, engine: str, victim: str) -> None:
    topology = load_topology({"gateway": False, "services": {"a": None}})
    bed = LocalTestbed(topology, engine=engine)
    bed.start()
    try:
        name, owner, sidecar = bed.run.name, bed.run.owner(), bed.find("a").sidecar_pid
        assert owner is not None
        if victim == "zygote":
            fds = pidfds(bed)
            os.kill(owner.pid, signal.SIGKILL)
            assert ended(fds)
            bed.leave()
            assert name in state.reap()
        else:
            below = Path(f"/proc/{sidecar}/task/{sidecar}/children").read_text().split()
            fds = [os.pidfd_open(pid) for pid in [sidecar, *map(int, below)]]
            assert len(fds) == (2 if engine == "envoy" else 1)
            os.kill(sidecar, signal.SIGKILL)
            assert ended(fds)
    finally:
        bed.stop()


COMMAND = """
import sys
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed
bed = LocalTestbed(load_topology({"services": {"a": None}}), engine=sys.argv[1])
with bed:
    if sys.argv[2] == "keep":
        bed.keep()
    print(bed.run.name, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("engine", "way"),
    [
        ("mitmproxy", "ctrl-c"),
        ("mitmproxy", "kill"),
        ("mitmproxy", "keep"),
        pytest.param("envoy", "kill", marks=pytest.mark.envoy),
    ],
)
def test_the_end_of_a_command(home: Path, engine: str, way: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, engine, way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    run = state.RunFolder(state.root() / name)
    bed = LocalTestbed.attach(run)
    fds = pidfds(bed)
    bed.leave()
    if way == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.kill()
    process.communicate()
    if way == "keep":
        kept = LocalTestbed.attach(run)
        assert kept.request("/").status == 200
        assert kept.kill_pod("a").name in {pod.name for pod in kept.pods()}
        kept.stop()
    assert ended(fds)
    state.reap()
    assert not run.path.exists()


def test_a_start_that_fails_leaves_nothing(home: Path) -> None:
    topology = load_topology({"services": {"a": {"options": {"scripts": []}}}})
    before = set(state.root().glob("*"))
    with pytest.raises(TestbedError, match=r"services\.scripted has no option 'scripts'"):
        LocalTestbed(topology).start()
    assert set(state.root().glob("*")) == before


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(TestbedError, match="there is no engine 'linkerd'; there are mitmproxy"):
        LocalTestbed(standard_topology(), engine="linkerd")
