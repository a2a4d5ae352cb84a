"""Tests that run at a time: those of a file on one worker."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import together

ROOT = Path(__file__).resolve().parents[1]
FILE = """\
import os, pytest

@pytest.fixture(scope="module")
def started():
    with open({journal!r}, "a") as journal:
        print(os.environ["PYTEST_XDIST_WORKER"], file=journal)

@pytest.mark.parametrize("number", range(20))
def test_one(number, started): pass
"""


def test_a_file_is_not_torn_apart(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    for name in "ab":
        (tmp_path / f"test_{name}.py").write_text(FILE.format(journal=str(journal)))
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    words = ["-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-p", "no:anyio"]
    done = subprocess.run(
        [sys.executable, *words, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True
    )
    assert re.search(r"^40 passed", done.stdout, re.MULTILINE), done.stdout + done.stderr
    assert len(journal.read_text().splitlines()) == 2  # each fixture of a file was made once


def test_each_lab_on_a_mesh_stands_alone() -> None:
    where = "tests/labs/test_labs.py::test_wrong_answers"
    assert together(f"{where}[3-envoy]") == together(f"{where}[3-mitmproxy-all]") == "lab 3"
    assert together(f"{where}[03-faults]") == "tests/labs/test_labs.py"
