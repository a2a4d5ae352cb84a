"""``grade watch``: every save is applied, a broken one is not; Ctrl-C ends with exit 0."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from grader.lab import LABS, find_lab

SCRIPT = """
from grader import session
from grader.watch import watch_lab
from tests.grader.fake_mesh import FakeMesh
session.make_testbed = lambda *_: FakeMesh()
raise SystemExit(watch_lab(1, None, "mitmproxy", "local"))
"""


def until(lines: Iterator[str], word: str) -> str:
    for line in lines:
        if word in line:
            return line
    raise AssertionError(f"the output ended before {word!r}")


def test_a_save_is_applied_and_shown(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(LABS.parent), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**environment, "COLUMNS": "150"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        lines = iter(watching.stdout)
        until(lines, "v1 ████████████████████ 100.0 %")
        route = tmp_path / "work" / "lab-01" / "virtual-service.yaml"
        route.write_text("spec: [\n")
        until(lines, "not applied: the files do not load")
        answer = (find_lab(1).solution / "virtual-service.yaml").read_text()
        route.write_text(answer.replace("90", "50").replace("weight: 10", "weight: 50"))
        until(lines, "virtual-service.yaml in force")
        until(lines, "v2 ██")
        watching.send_signal(signal.SIGINT)
        rest = watching.stdout.read()
    assert watching.returncode == 0
    assert "Traceback" not in rest
