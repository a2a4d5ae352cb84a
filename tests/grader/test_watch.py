"""``grade watch``: every save is applied, a broken one is not; Ctrl-C ends with exit 0."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from rich.console import Console

from grader.lab import LABS, find_lab
from grader.load.observation import Observation
from grader.load.plan import Plan
from grader.load.run import Driver
from grader.watch import View

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


class Slow:
    """A load driver whose every second request is delayed."""

    def run(self, plan: Plan, more: Callable[[object], bool]) -> tuple[Observation, ...]:
        assert 0 < plan.give_up * plan.requests / plan.users <= 5
        answer = "recommendation v1 from 'recommendation-v1': 1"
        return tuple(
            Observation(index, 0, f"w-{index}", 0 if index % 2 else 200, answer, slow=index % 2 > 0)
            for index in range(plan.requests)
        )


def test_delayed_requests_are_not_waited_out_and_are_said() -> None:
    told = io.StringIO()
    console = Console(width=150, file=told)
    view = View(console, cast(Driver, Slow()), "http://127.0.0.1:1")
    view.refresh()
    assert "5 of 10 took more than 1 s" in told.getvalue()
    assert "failed" not in told.getvalue()
