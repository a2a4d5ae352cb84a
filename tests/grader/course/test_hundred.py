"""A hundred submissions, unattended: right, wrong, broken and hostile, killed three times."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from grader.course.store import Store
from grader.lab import find_lab
from grader.mutants import load_mutants
from tests.grader.commands import start
from tests.grader.course.batches import judges, table
from tests.grader.course.hostile import folder, hostile, solution, tarred, zipped

LAB = find_lab(1)
EVIL = {
    "run.sh": b":(){ :|:& };:\n",
    "checks.py": b"while True: pass\n",
    "sitecustomize.py": b"import os\nwhile True: os.fork()\n",
    "Makefile": b"all:\n\trm -rf /\n",
    "student.toml": b'student = "somebody-else"\n',
}
BROKEN = (b"kind: [", b"kind: Nope\nmetadata: {name: x}\n", b"- 1\n", b"a: &a [*a]\n", b"\tx: 1\n")
MESHES = 14


def hundred(root: Path, scratch: Path) -> int:
    """Write a hundred submissions; returns how many there are."""
    hostile(root, LAB)
    # Of an answer halfway between right and wrong chance decides, in a calm run as in any.
    known = [each for each in load_mutants(LAB) if not each.refused and not each.may_lose]
    for number in range(MESHES):
        made = known[number % len(known)].write(LAB, scratch / str(number))
        files = {name: (made / name).read_bytes() for name in LAB.files}
        name = f"s{number:02d}"
        if number % 4 == 0:
            folder(root / name, files | EVIL)
        elif number % 4 == 1:
            (root / f"{name}.zip").write_bytes(zipped({f"hw/{k}": v for k, v in files.items()}))
        elif number % 4 == 2:
            (root / f"{name}.tar.gz").write_bytes(tarred(files))
        else:
            folder(root / name / "too" / "deep", files)
    while (count := len(list(root.iterdir()))) < 100:
        text = BROKEN[count % len(BROKEN)] + f"# {count}\n".encode()
        folder(root / f"z{count:02d}", {**solution(LAB), LAB.files[0]: text})
    return count


def grade(cwd: Path, out: Path, kill_after: int) -> bool:
    """Run the batch; True when it came to its end, False when it was killed after some verdicts."""
    running = start(cwd, "batch", "1", str(cwd / "in"), "--out", str(out))
    assert running.stdout is not None
    seen = 0
    for line in running.stdout:
        seen += line.startswith((" ✓", " ✗"))
        if kill_after and seen >= kill_after:
            os.kill(running.pid, signal.SIGKILL)
            break
    running.stdout.close()
    running.wait()
    return not kill_after or seen < kill_after


@pytest.mark.nightly
def test_a_hundred_submissions_killed_three_times_get_the_marks_of_a_calm_run(
    tmp_path: Path,
) -> None:
    assert hundred(tmp_path / "in", tmp_path / "m") == 100
    for kill_after in (20, 25, 20):
        assert not grade(tmp_path, tmp_path / "out", kill_after)
    assert grade(tmp_path, tmp_path / "out", 0)
    assert grade(tmp_path, tmp_path / "calm", 0)
    killed, calm = (table(tmp_path / name / "grades.csv") for name in ("out", "calm"))
    assert len(killed) == 100
    assert {name: (row["score"], row["verdict"]) for name, row in killed.items()} == {
        name: (row["score"], row["verdict"]) for name, row in calm.items()
    }
    assert set(Counter(row["verdict"] for row in killed.values())) == {"pass", "fail"}
    assert all(row["reason"] for row in table(tmp_path / "out" / "details.csv").values())
    assert all(each.done for each in Store(tmp_path / "out").attempts(1))
    assert not judges(tmp_path / "out")
