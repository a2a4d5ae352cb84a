"""Labs in containers have the score that they have on this machine, on both engines.

Labs 1 to 4 run with every change, all of them at night (``make test-compose-all``), labs 1 to 4
then without NET_ADMIN too (``MESH_LAB_CAPTURE=0``).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from grader.lab import all_labs
from mesh.testbed.choose import CAPTURE
from tests.compose.needs import DOCKER

ROOT = Path(__file__).parents[2]
ALWAYS = range(1, 5)


pytestmark = [pytest.mark.compose, DOCKER]


CASES = [
    pytest.param(
        lab.number,
        name,
        id=f"{lab.number}-{name}",
        marks=[] if lab.number in ALWAYS else [pytest.mark.nightly],
    )
    for lab in all_labs()
    for name in lab.engines
]


UNCAPTURED = [
    pytest.param(number, name, id=f"{number}-{name}", marks=pytest.mark.nightly)
    for number in ALWAYS
    for name in ("mitmproxy", "envoy")
]


@pytest.mark.parametrize(("lab", "engine_name"), CASES)
def test_a_solution_has_the_whole_score(tmp_path: Path, lab: int, engine_name: str) -> None:
    passes(tmp_path, lab, engine_name, "1")


@pytest.mark.parametrize(("lab", "engine_name"), UNCAPTURED)
def test_a_solution_has_the_whole_score_also_where_nothing_is_captured(
    tmp_path: Path, lab: int, engine_name: str
) -> None:
    passes(tmp_path, lab, engine_name, "0")


def passes(tmp_path: Path, lab: int, engine_name: str, capture: str) -> None:
    """Run a lab's solution in containers."""
    words = ["lab", str(lab), "--solution", "--runtime", "compose", "--engine", engine_name]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "grader.cli", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), CAPTURE: capture},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^score: (\d+)/\1$", done.stdout, re.MULTILINE), done.stdout
