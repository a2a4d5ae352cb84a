"""The real Prometheus reads a mesh: its targets are up and its answers are the records' counts."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from mesh.mixer.prometheus import config
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed

PROMETHEUS = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(
    PROMETHEUS is None, reason="Prometheus is not installed (Debian: apt-get install prometheus)"
)


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTestbed]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_LAB_HOME", str(tmp_path_factory.mktemp("h") / "m"))
        with LocalTestbed(load_topology({"services": {"front": None, "back": None}})) as made:
            yield made


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


def scraped(url: str, query: str, value: float) -> dict[str, str]:
    """Ask until a scrape has brought ``value`` (Prometheus tells nobody); return the labels."""
    question = f"{url}/query?{urllib.parse.urlencode({'query': query})}"
    rows: list[Any] = []
    for _ in range(300):
        rows = ask(question)["result"]
        if len(rows) == 1 and float(rows[0]["value"][1]) >= value:
            return dict(rows[0]["metric"])
        Event().wait(0.1)
    pytest.fail(f"{query} gives {rows}")


@pytest.fixture
def prometheus(bed: LocalTestbed, tmp_path: Path) -> Iterator[str]:
    file = tmp_path / "prometheus.yml"
    file.write_text(config(bed.metrics_url, "1s"), encoding="utf-8")
    command = [str(PROMETHEUS), f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'db'}"]
    command += ["--web.listen-address=127.0.0.1:0", "--log.level=info"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = address = ""
        ready = False  # its two lines come in either order
        while not (address and ready):
            line = process.stderr.readline()
            if not line:
                pytest.fail(f"Prometheus ended: {said}")
            said = line
            if '"Listening on"' in line:
                address = line.partition("address=")[2].strip()
            ready = ready or "Server is ready" in line
        yield f"http://{address}/api/v1"
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def test_targets_are_up_and_promql_is_answered(bed: LocalTestbed, prometheus: str) -> None:
    for _ in range(7):
        bed.request("http://back:8080/", from_pod="front")
    bed.telemetry()
    labels = scraped(
        prometheus,
        "sum by (source_workload, destination_workload, response_code)"
        '(istio_requests_total{reporter="destination"}) == 7',
        7,
    )
    assert labels == {
        "source_workload": "front-v1",
        "destination_workload": "back-v1",
        "response_code": "200",
    }
    pods = len(bed.proxies())
    scraped(prometheus, 'sum(up{job="envoy-stats"})', pods)
    targets = ask(f"{prometheus}/targets")["activeTargets"]
    assert {each["labels"]["instance"] for each in targets} == set(bed.proxies())
    scraped(
        prometheus,
        'envoy_cluster_upstream_rq_total{cluster_name=~"outbound.*back.*",app="front"} == 7',
        7,
    )
    slow = "istio_request_duration_milliseconds_bucket"
    scraped(prometheus, f"histogram_quantile(0.99, sum by (le) ({slow}))", 0.01)
