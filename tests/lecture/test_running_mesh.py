"""Every snippet of the lecture, repaired, takes force on a running mesh of both engines.

``apply`` returns only when each sidecar has acknowledged the configuration; a refusal of Envoy
would come back as an ApplyError with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mesh.istio import era
from mesh.istio.fix import repair
from mesh.testbed.load_topology import load_topology
from mesh.testbed.local import LocalTestbed
from tests.lecture.test_snippets import FOLDER, TABLE, TEXTS

VERSIONS = {"workloads": [{"version": "v1"}, {"version": "v2"}]}
TOPOLOGY = {"services": {"preference": None, "recommendation": VERSIONS, "serviceb": VERSIONS}}


@pytest.fixture(
    scope="module", params=["mitmproxy", pytest.param("envoy", marks=pytest.mark.envoy)]
)
def mesh(request: pytest.FixtureRequest) -> Iterator[LocalTestbed]:
    with LocalTestbed(load_topology(TOPOLOGY), engine=request.param, era="istio-1.0") as running:
        yield running


def texts() -> dict[str, str]:
    if not FOLDER.is_dir():
        return dict(TEXTS)
    return {name: (FOLDER / f"{name}.yaml").read_text(encoding="utf-8") for name in TABLE}


@pytest.mark.parametrize("name", texts())
def test_a_repaired_snippet_takes_force(mesh: LocalTestbed, name: str) -> None:
    done = repair(texts()[name], f"{name}.yaml", era=era("istio-1.0"))
    result = mesh.apply([(f"{name}.yaml", done.text)])
    try:
        assert result.in_force
        assert len(result.applied) == 1
    finally:
        mesh.apply([])
