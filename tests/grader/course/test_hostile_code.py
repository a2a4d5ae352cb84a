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

LAB = find_lab(12)
FORWARDED = "def forwarded(headers):\n"
CODE = {
    "endless": f"{FORWARDED}    while True: pass\n",
    "endless-import": "while True: pass\n",
    "fork-bomb": f"import os\n{FORWARDED}    while True: os.fork()\n",
    "memory": f"{FORWARDED}    x = []\n    while True: x.append(b'x' * (1 << 24))\n",
    "output": f"import os\n{FORWARDED}    while True: os.write(1, b'x' * 65536)\n",
    "kills-all": f"import os\nos.kill(-1, 9)\n{FORWARDED}    return headers\n",
    "network": "import urllib.request\n"
    f"{FORWARDED}    return {{'x': urllib.request.urlopen('http://127.0.0.1:80').read().decode()}}\n",
    "reads": f"{FORWARDED}    return {{'x': open({str(LAB.folder / 'checks.py')!r}).read()}}\n",
}


@pytest.mark.nightly
@pytest.mark.parametrize("kind", [BUBBLEWRAP, pytest.param(CONTAINER, marks=pytest.mark.compose)])
def test_every_submission_has_a_verdict_and_a_reason(kind: str, tmp_path: Path) -> None:
    fence(kind)
    right = solution(LAB)
    folder(tmp_path / "in" / "right", right)
    for name, text in CODE.items():
        folder(tmp_path / "in" / name, {**right, "propagation.py": text.encode()})
    done = start(
        tmp_path,
        "batch",
        "12",
        str(tmp_path / "in"),
        "--out",
        str(tmp_path / "out"),
        "--fence",
        kind,
    )
    said, _ = done.communicate()
    assert done.returncode == 0, said
    marks = table(tmp_path / "out" / "grades.csv")
    assert marks.pop("right")["verdict"] == "pass", said
    assert {name: row["verdict"] for name, row in marks.items()} == dict.fromkeys(CODE, "fail"), (
        said
    )
    assert all(row["reason"] for row in table(tmp_path / "out" / "details.csv").values())
    attempts = Store(tmp_path / "out").attempts(12)
    assert all(each.result()["fence"].startswith(kind) for each in attempts)
    assert not judges(tmp_path / "out")
