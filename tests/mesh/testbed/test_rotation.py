"""Certificates and roots are replaced under load, and no request notices."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest

from mesh.testbed.load_topology import standard_topology
from mesh.testbed.local import LocalTestbed

ROTATIONS = 100


@pytest.fixture(params=["mitmproxy", pytest.param("envoy", marks=pytest.mark.envoy)])
def bed(request: pytest.FixtureRequest) -> Iterator[LocalTestbed]:
    before = os.environ.get("MESH_LAB_HOME")
    with TemporaryDirectory(prefix="mlrot", dir="/tmp") as home:
        os.environ["MESH_LAB_HOME"] = f"{home}/m"
        with LocalTestbed(standard_topology(), engine=request.param) as running:
            yield running
        os.environ.pop("MESH_LAB_HOME")
        if before is not None:
            os.environ["MESH_LAB_HOME"] = before


class Load:
    """Sends requests, one after another, until it is told to stop."""

    def __init__(self, bed: LocalTestbed) -> None:
        self.bed = bed
        self.statuses: list[int] = []
        self.answered = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.statuses.append(self.bed.request("/customer").status)
            self.answered.set()

    def stop(self) -> list[int]:
        self._stop.set()
        self._thread.join()
        return self.statuses


def rotate(bed: LocalTestbed, count: int) -> list[int]:
    """Replace all certificates ``count`` times, and the root in between; return the statuses."""
    load = Load(bed)
    try:
        for number in range(count):
            load.answered.clear()
            if number % 10 == 3:
                bed.pilot.citadel("rotate")
                bed.pilot.citadel("finish")
            else:
                bed.pilot.citadel("renew")
            assert load.answered.wait(60)  # a request goes through between two rotations
    finally:
        statuses = load.stop()
    return statuses


def test_a_root_is_replaced_under_load(bed: LocalTestbed) -> None:
    first = bed.pilot.citadel()["roots"]
    statuses = rotate(bed, 4)
    assert set(statuses) == {200}
    assert bed.pilot.citadel()["roots"] != first


@pytest.mark.nightly
def test_a_hundred_rotations_fail_no_request(bed: LocalTestbed) -> None:
    statuses = rotate(bed, ROTATIONS)
    assert len(statuses) >= ROTATIONS
    assert set(statuses) == {200}
