"""Every case, on every engine this machine has, and the engines against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.conformance.case import read_cases
from mesh.conformance.run import CaseResult, run_cases
from mesh.testbed.client import TestbedError
from mesh.testbed.engines import engine
from mesh.testbed.local import LocalTestbed
from mesh.topology import Topology

if TYPE_CHECKING:
    from mesh.testbed.base import Testbed

CASES = read_cases([Path(__file__).with_name("cases")])


def start(topology: Topology, /, *, engine: str, era: str) -> Testbed:
    return LocalTestbed(topology, engine=engine, era=era)


def engines() -> list[str]:
    try:
        engine("envoy").check()
    except TestbedError:
        return ["mitmproxy"]
    return ["mitmproxy", "envoy"]


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, CaseResult]:
    """Run the chosen cases together: those of one topology share a mesh."""
    chosen = {
        item.callspec.params.get("name")
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    }
    cases = [case for case in CASES if case[1].name in chosen]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_LAB_HOME", str(tmp_path_factory.mktemp("home").resolve()))
        found = run_cases(cases, engines(), start)
    return {result.case.name: result for result in found}


def test_names_are_unique() -> None:
    names = [case.name for _, case in CASES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [case.name for _, case in CASES])
def test_case(name: str, results: dict[str, CaseResult]) -> None:
    result = results[name]
    assert {engine: each.failures for engine, each in result.engines.items()} == {
        engine: [] for engine in engines() if engine in result.case.engines
    }
    assert result.differences == []
