"""Code that means harm, handed in for a lab that runs code: every submission has a verdict and a reason."""

from pathlib import Path

import pytest

from grader.course.store import Store
from grader.fence.choose import BUBBLEWRAP, CONTAINER
from grader.lab import find_lab
from tests.grader.commands import start
from tests.grader.course.batches import judges, table
from tests.grader.course.hostile import folder, solution
from tests.grader.fence.fences import fence

HARM = {
    "endless": ("", "while True: pass"),
    "endless-import": ("while True: pass\n", "pass"),
    "fork-bomb": ("import os\n", "while True: os.fork()"),
    "memory": ("x = []\n", "while True: x.append(b'x' * (1 << 24))"),
    "output": ("import os\n", "while True: os.write(1, b'x' * 65536)"),
    "kills-all": ("import os\nos.kill(-1, 9)\n", "pass"),
    "network": ("import urllib.request\n", "urllib.request.urlopen('http://127.0.0.1:80').read()"),
    "reads": ("", "open(CHECKS).read()"),
}
"""What stands at the top of the file, and what is done for each request."""

CODE = {
    12: ("propagation.py", "def forwarded(headers):\n    {}\n    return headers\n"),
    13: (
        "filter.py",
        "class Bad:\n    def request(self, flow):\n        {}\n\n\naddons = [Bad()]\n",
    ),
}
"""The file that a lab takes, with a place for what is done."""


def harmful(lab: int, name: str) -> str:
    """The code of one submission."""
    top, deed = HARM[name]
    checks = find_lab(lab).folder / "checks.py"
    return top + CODE[lab][1].format(deed.replace("CHECKS", repr(str(checks))))


@pytest.mark.nightly
@pytest.mark.parametrize("number", CODE)
@pytest.mark.parametrize("kind", [BUBBLEWRAP, pytest.param(CONTAINER, marks=pytest.mark.compose)])
def test_every_submission_has_a_verdict_and_a_reason(
    kind: str, number: int, tmp_path: Path
) -> None:
    fence(kind)
    subs, out = tmp_path / "in", tmp_path / "out"
    right = solution(find_lab(number))
    folder(subs / "right", right)
    for name in HARM:
        folder(subs / name, {**right, CODE[number][0]: harmful(number, name).encode()})
    done = start(tmp_path, "batch", str(number), str(subs), "--out", str(out), "--fence", kind)
    said, _ = done.communicate()
    assert done.returncode == 0, said
    marks = table(out / "grades.csv")
    assert marks.pop("right")["verdict"] == "pass", said
    verdicts = {name: row["verdict"] for name, row in marks.items()}
    assert verdicts == dict.fromkeys(HARM, "fail"), said
    assert all(row["reason"] for row in table(out / "details.csv").values())
    attempts = Store(out).attempts(number)
    assert all(each.result()["fence"].startswith(kind) for each in attempts)
    assert not judges(out)
