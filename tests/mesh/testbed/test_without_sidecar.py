"""A pod without a sidecar, and what a mesh tells when its parts are asked directly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.testbed.client import TestbedError
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed
from mesh.topology import INJECT

TOPOLOGY = load_topology(
    {"services": {"backend": {"labels": {INJECT: "false"}}, "client": None}, "gateway": False}
)


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTestbed]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_LAB_HOME", str(tmp_path_factory.mktemp("home").resolve()))
        with LocalTestbed(TOPOLOGY) as bed:
            yield bed


def test_it_is_reached_without_a_second_hop(bed: LocalTestbed) -> None:
    before = len(bed.access_log())
    answer = bed.request("http://backend:8080/", from_pod="client")
    assert json.loads(answer.body)["pod"].startswith("backend")
    (record,) = bed.access_log()[before:]
    assert (record.direction, record.response_code) == ("outbound", 200)
    assert bed.proxies() == tuple(pod.name for pod in bed.pods() if pod.service == "client")
    with pytest.raises(TestbedError, match="no sidecar"):
        bed.request("http://client:8080/", from_pod="backend")


def test_it_is_replaced_when_killed(bed: LocalTestbed) -> None:
    old = bed.find("backend").name
    new = bed.kill_pod(old)
    assert new.name != old
    assert bed.request("http://backend:8080/", from_pod="client").status == 200


def test_applications_and_sidecars_are_asked_directly(bed: LocalTestbed) -> None:
    journal = len(bed.journal())
    for pod in ("backend", "client"):
        assert bed.tell(pod, "/health/ready").text == "OK\n"
    assert len(bed.journal()) == journal
    name = r"cluster\.outbound\|8080\|\|backend.*\.membership_total"
    assert list(bed.stats("client", name).values()) == [1]
    with pytest.raises(TestbedError, match="has no sidecar"):
        bed.stats("backend", name)


def test_records_are_read_once_and_in_whole_lines(tmp_path: Path) -> None:
    from mesh.testbed.records import Reader

    parsed: list[str] = []

    def parse(name: str, line: str) -> str:
        parsed.append(line)
        return f"{name} {line}"

    reader, path = Reader(parse), tmp_path / "log"
    assert reader.read("a", path) == []
    path.write_bytes(b"one\ntw")
    assert reader.read("a", path) == ["a one"]
    path.write_bytes(b"one\ntwo\n\xc3\xa4\n")
    assert reader.read("a", path) == ["a one", "a two", "a \u00e4"]
    assert reader.read("a", path) == ["a one", "a two", "a \u00e4"]
    assert parsed == ["one", "two", "\u00e4"]
