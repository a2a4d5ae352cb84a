"""The workbench on somebody else's YAML: Bookinfo, the example that comes with Istio.

Runs where BOOKINFO names a copy of the folder ``samples/bookinfo`` of istio/istio.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from mesh.cli import app

FOLDER = os.environ.get("BOOKINFO", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="BOOKINFO names no copy of samples/bookinfo")
BOOKINFO = Path(FOLDER)
NETWORKING = BOOKINFO / "networking"
GENERAL = ("bookinfo-gateway.yaml", "destination-rule-all.yaml", "virtual-service-all-v1.yaml")


def meshctl(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("imported")
    files = [BOOKINFO / "platform" / "kube" / "bookinfo.yaml"]
    result = meshctl("import", *files, *(NETWORKING / each for each in GENERAL), "-o", out)
    assert result.exit_code == 0, result.output
    assert "4 services" in result.output
    return out / "topology.yaml"


def test_every_rule_of_its_networking_folder_is_loaded_or_refused_in_words(topology: Path) -> None:
    for path in sorted(NETWORKING.glob("*.yaml")):
        result = meshctl("analyze", path, "--topology", topology, "-n", "default")
        assert "Traceback" not in result.output
        assert result.exit_code in (0, 1), (path.name, result.output)


def test_a_dry_run_says_where_a_request_goes(topology: Path, tmp_path: Path) -> None:
    shutil.copy(NETWORKING / "destination-rule-all.yaml", tmp_path)
    shutil.copy(NETWORKING / "virtual-service-reviews-test-v2.yaml", tmp_path)
    base = ("explain", "--dry-run", "-f", tmp_path, "--topology", topology, "-n", "default")
    ask = (*base, "--from", "productpage-v1", "http://reviews:9080/")
    assert "reviews-v2" in meshctl(*ask, "-H", "end-user: jason").output
    plain = meshctl(*ask).output
    assert "reviews-v1" in plain
    assert "reviews-v2" not in plain


@pytest.mark.parametrize("engines", ["", "both"])
def test_a_change_shows_whose_answers_it_changes(
    topology: Path, tmp_path: Path, engines: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_LAB_HOME", str(tmp_path / "home"))
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    for each in GENERAL:
        shutil.copy(NETWORKING / each, old)
    shutil.copytree(old, new)
    shutil.copy(NETWORKING / "virtual-service-reviews-test-v2.yaml", new / "z.yaml")
    run = ("--run", engines, "--times", 10) if engines else ()
    result = meshctl("diff", old, new, "--topology", topology, "-n", "default", "-o", "json", *run)
    assert result.exit_code in (0, 1), result.output
    assert "Traceback" not in result.output
    changed = json.loads(result.output)["requests"]
    assert changed
    assert all("end-user=jason" in each["request"] for each in changed), changed
