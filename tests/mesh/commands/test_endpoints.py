"""What a sidecar thinks of each endpoint, as both engines tell it."""

from __future__ import annotations

import time

import pytest
from typer.testing import CliRunner

from mesh.cli import app
from mesh.commands import endpoints
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed

CLUSTER = "outbound|8080||{}.tutorial.svc.cluster.local"
WATCHED = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: watched, namespace: tutorial}
spec:
  host: watched
  trafficPolicy:
    outlierDetection:
      {consecutive5xxErrors: 1, baseEjectionTime: 1h, interval: 0.1s, maxEjectionPercent: 100}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: health, namespace: tutorial}
spec:
  workloadSelector: {labels: {app: client}}
  configPatches:
    - applyTo: CLUSTER
      match:
        context: SIDECAR_OUTBOUND
        cluster: {service: checked.tutorial.svc.cluster.local}
      patch:
        operation: MERGE
        value:
          health_checks:
            - timeout: 20s
              interval: 0.05s
              no_traffic_interval: 0.05s
              unhealthy_threshold: 1
              healthy_threshold: 1
              http_health_check: {host: checked, path: /health/ready}
"""


@pytest.mark.parametrize("engine", ["mitmproxy", pytest.param("envoy", marks=pytest.mark.envoy)])
def test_ejected_and_sick_endpoints_are_told(
    engine: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_LAB_HOME", str(tmp_path_factory.mktemp("h").resolve()))
    both = {"workloads": [{"version": "v1"}, {"version": "v2"}]}
    topology = load_topology({"services": {"watched": both, "checked": both, "client": {}}})
    with LocalTestbed(topology, engine=engine) as bed:
        bed.apply([("watched.yaml", WATCHED)])
        wait(bed, "checked", "health_check.healthy", 2)
        bed.tell("checked-v1", "/sick")
        wait(bed, "checked", "health_check.healthy", 1)
        answer = bed.request(
            "http://watched:8080/", from_pod="client", headers={"x-script": '[{"status": 500}]'}
        )
        assert answer.status == 500
        wait(bed, "watched", "outlier_detection.ejections_active", 1)
        shown = CliRunner().invoke(
            app, ["proxy-config", "endpoint", "client", "--mesh", bed.run.name]
        )
        (sick,) = (pod.ports[8080] for pod in bed.pods() if pod.workload == "checked-v1")
    lines = [line.split("   ") for line in shown.stdout.splitlines()]
    table = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert table[0] == endpoints.COLUMNS
    checked = {row[0]: row[1:3] for row in table if row[-1] == CLUSTER.format("checked")}
    assert checked.pop(f"127.0.0.1:{sick}") == ["UNHEALTHY", "OK"]
    assert list(checked.values()) == [["HEALTHY", "OK"]]
    watched = [row[1:3] for row in table if row[-1] == CLUSTER.format("watched")]
    assert sorted(watched) == [["HEALTHY", "FAILED"], ["HEALTHY", "OK"]]


def wait(bed: LocalTestbed, service: str, stat: str, value: int) -> None:
    """Ask until it is so; a gauge that never gets there is told after long enough."""
    name, end = f"cluster.{CLUSTER.format(service)}.{stat}", time.monotonic() + 60
    while (seen := bed.stats("client", stat).get(name)) != value:
        assert time.monotonic() < end, f"{name} is {seen}, not {value}"


def test_the_control_plane_can_call_an_endpoint_sick_too() -> None:
    place = {"socket_address": {"address": "10.0.0.1", "port_value": 80}}
    health = {"eds_health_status": "DRAINING", "failed_active_health_check": True}
    hosts = [{"address": place, "health_status": health}]
    clusters = {"cluster_statuses": [{"name": "a", "host_statuses": hosts}, {"name": "empty"}]}
    assert endpoints.rows(clusters) == [["10.0.0.1:80", "DRAINING", "OK", "a"]]
