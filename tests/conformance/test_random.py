"""Configurations that nobody has written: both engines do the same (few here, many at night)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from mesh.conformance.case import Case
from mesh.conformance.random_case import as_file, random_cases
from mesh.conformance.run import run_cases
from mesh.testbed.client import TestbedError
from mesh.testbed.engines import engine
from mesh.testbed.local import LocalTestbed
from mesh.topology import Topology

if TYPE_CHECKING:
    from mesh.testbed.base import Testbed


def start(topology: Topology, /, *, engine: str, era: str) -> Testbed:
    return LocalTestbed(topology, engine=engine, era=era)


def compare(count: int, seed: int, home: Path) -> None:
    try:
        engine("envoy").check()
    except TestbedError:
        pytest.skip("the real Envoy is not installed")
    cases = [(Path(each.name), each) for each in random_cases(count, seed)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_LAB_HOME", str(home.resolve()))
        results = run_cases(cases, ["mitmproxy", "envoy"], start)
    wrong = {
        each.case.name: [*each.differences, *(t for e in each.engines.values() for t in e.failures)]
        for each in results
        if not each.passed
    }
    assert wrong == {}


@pytest.mark.envoy
def test_a_few(tmp_path: Path) -> None:
    compare(3, 0, tmp_path)


@pytest.mark.nightly
@pytest.mark.envoy
@pytest.mark.parametrize("seed", range(1, 9))
def test_many(seed: int, tmp_path: Path) -> None:
    compare(40, seed, tmp_path)


def test_the_same_seed_makes_the_same_cases_and_they_can_be_written() -> None:
    first, again = list(random_cases(5, 3)), list(random_cases(5, 3))
    assert first == again
    assert len({each.resources for each in first}) == 5
    for case in first:
        assert Case.model_validate(yaml.safe_load(as_file(case))) == case
