"""``meshctl`` on a real mesh: each command as a chapter uses it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mesh.cli import app

V2 = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: recommendation}
spec:
  host: recommendation
  subsets: [{name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: recommendation}
spec:
  hosts: [recommendation]
  http: [{route: [{destination: {host: recommendation, subset: v2}}]}]
"""


def meshctl(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module", autouse=True)
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("h").resolve()
        patch.setenv("MESH_LAB_HOME", str(home / "m"))
        started = meshctl("up", "--lab", "1")
        try:
            assert started.exit_code == 0, started.output
            assert "✓ Started 4 pods with their sidecars (mitmproxy, istio-1.9)" in started.stdout
            yield
        finally:
            ended = meshctl("down", "--all")
        assert ended.exit_code == 0, ended.output
        assert list((home / "m").iterdir()) == []


def test_status() -> None:
    (found,) = json.loads(meshctl("status", "-o", "json").stdout)
    assert found["engine"] == "mitmproxy"
    assert {pod["service"] for pod in found["pods"]} == {"customer", "preference", "recommendation"}
    assert "recommendation-v2-" in meshctl("status").stdout


def test_apply_is_in_force_and_delete_takes_it_back(tmp_path: Path) -> None:
    file = tmp_path / "v2.yaml"
    file.write_text(V2, encoding="utf-8")
    applied = meshctl("apply", "-f", str(tmp_path))
    assert applied.exit_code == 0, applied.output
    assert "✓ VirtualService tutorial/recommendation" in applied.stdout
    answers = meshctl("curl", "/", "-n", "10")
    assert answers.stdout.count("recommendation v2") == 10
    assert "10 requests: 10 x 200" in answers.stderr

    assert f"{file}:8" in meshctl("get", "vs", "recommendation").stdout
    assert (
        "subset: v2"
        in meshctl("get", "dr", "-o", "yaml").stdout + meshctl("get", "vs", "-o", "yaml").stdout
    )

    assert meshctl("delete", "vs", "recommendation").exit_code == 0
    assert "nothing of that is applied" in meshctl("delete", "vs", "recommendation").stderr
    assert meshctl("delete", "-f", str(file)).exit_code == 0
    assert "recommendation" not in meshctl("get").stdout


def test_a_refused_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("kind: [\n", encoding="utf-8")
    done = meshctl("apply", "-f", str(file))
    assert done.exit_code == 1
    assert f"{file}:" in done.stderr


def test_proxy_status_and_config() -> None:
    status = meshctl("proxy-status")
    assert status.stdout.count("SYNCED") == 20
    routes = meshctl("proxy-config", "route", "preference")
    assert "recommendation.tutorial.svc.cluster.local:8080" in routes.stdout
    clusters = json.loads(meshctl("proxy-config", "clusters", "preference", "-o", "json").stdout)
    assert "outbound|8080||recommendation.tutorial.svc.cluster.local" in clusters
    unknown = meshctl("proxy-config", "routes", "nobody")
    assert unknown.exit_code == 1
    assert "no pod is called 'nobody'" in unknown.stderr


def test_explain_a_request_and_one_that_was_sent() -> None:
    shown = meshctl("explain", "--from", "preference", "http://recommendation:8080/")
    assert shown.exit_code == 0, shown.output
    assert "route 0 (default): path begins with /" in shown.stdout
    assert "endpoint:    attempt 1 at recommendation-v" in shown.stdout
    asked = ("--from", "preference", "http://recommendation:8080/", "-o", "json")
    found = json.loads(meshctl("explain", *asked).stdout)
    assert found["status"] == 200
    assert [hop["direction"] for hop in found["hops"]] == ["outbound", "inbound"]
    again = json.loads(meshctl("explain", found["request_id"], "-o", "json").stdout)
    assert again["hops"] == found["hops"]
    unknown = meshctl("explain", "abc")
    assert unknown.exit_code == 1
    assert "no sidecar knows a request 'abc'" in unknown.stderr
    assert "files are for --dry-run" in meshctl("explain", "/", "-f", "x.yaml").stderr


def test_graph_and_top() -> None:
    assert meshctl("curl", "/").exit_code == 0
    shown = meshctl("graph")
    assert shown.exit_code == 0, shown.output
    assert "preference v1" in shown.stdout
    assert "recommendation v" in shown.stdout
    found = json.loads(meshctl("graph", "-o", "json").stdout)
    assert found["records"] >= 2
    assert {edge["mtls"] for edge in found["edges"]} == {True}
    table = meshctl("top", "--once").stdout
    assert "REQ/S" in table
    assert "100.0%" in table
    assert "above 0" in meshctl("top", "--last", "0").stderr
    counted = meshctl("metrics", "preference").stdout
    assert "istio_requests_total{" in counted
    assert 'envoy_cluster_upstream_rq_total{cluster_name="outbound|8080||recommendation.' in counted


def test_trace_and_the_logs_of_one_request() -> None:
    assert meshctl("curl", "/").exit_code == 0
    listed = meshctl("trace")
    assert listed.exit_code == 0, listed.output
    *_, newest = json.loads(meshctl("trace", "-o", "json").stdout)
    assert len(newest["spans"]) == 6
    shown = meshctl("trace", newest["id"][:12]).stdout.splitlines()
    assert newest["id"] in shown[0]
    assert shown[1].startswith("istio-ingressgateway sends to customer")
    assert shown[6].strip().startswith("recommendation-v")
    lines = meshctl("logs", "--trace", newest["id"]).stdout.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("istio-ingressgateway")
    assert "no record of 'abc'" in meshctl("logs", "--trace", "abc").stderr
    assert "say which" in meshctl("logs").stderr
    own = meshctl("curl", "/", "-H", "x-request-id: mine")
    assert own.exit_code == 0
    assert "was not sampled" in meshctl("trace", "mine").stderr


def test_curl_from_a_pod_and_its_log() -> None:
    asked = meshctl(
        "curl", "-i", "--from", "preference", "http://recommendation:8080/", "-H", "x-request-id: 7"
    )
    assert asked.stdout.startswith("HTTP/1.1 200\n")
    assert "name the service" in meshctl("curl", "--from", "preference", "/").stderr
    whole = meshctl("logs", "preference").stdout.splitlines()
    assert '"GET / HTTP/1.1" 200 - via_upstream' in whole[-1]
    assert '" 7 recommendation:8080 ' in whole[-1]
    assert meshctl("logs", "preference", "--tail", "1").stdout.splitlines() == whole[-1:]
    assert meshctl("logs", "preference", "--tail", "0").stdout == ""
    assert meshctl("logs", "preference", "--tail", "-1").exit_code == 2
    record = json.loads(meshctl("logs", "preference", "-o", "json").stdout.splitlines()[-1])
    assert record["direction"] == "outbound"
    assert meshctl("logs", "preference", "--printed").exit_code == 0


def test_kill_a_pod_and_the_control_plane() -> None:
    killed = meshctl("kill", "preference")
    assert killed.exit_code == 0, killed.output
    assert "was killed, preference-v1-" in killed.stdout
    assert "`meshctl start-pilot` starts it" in meshctl("kill", "pilot").stdout
    assert "200" in meshctl("curl", "/", "-i").stdout
    assert meshctl("get").exit_code != 0
    assert "The control plane is back" in meshctl("start-pilot").stdout
    assert meshctl("get").exit_code == 0
