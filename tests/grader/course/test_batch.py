"""A whole batch, hostile submissions included, killed on the way: the real meshes, few of them."""

import json
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from grader.course.batch import Batch, Event, sweep
from grader.course.host import IDLE, MESH_MEMORY, Load, Stall, StallWatch, admits
from grader.course.rescore import CHECKS
from grader.course.roster import CourseError
from grader.course.store import Attempt, Store
from grader.lab import find_lab
from tests.grader.commands import start
from tests.grader.course.batches import judges, table
from tests.grader.course.hostile import folder, hostile, solution, zipped

LAB = find_lab(1)
PROJECT = LAB.folder.parents[1]

COURSE = """\
course: Service meshes
roster: roster.csv
era: istio-1.9
labs: {1: {points: 20, due: 2026-11-02 23:59}}
late: {per_day: 10}
times: times.csv
"""


def test_a_batch_is_killed_goes_on_and_gives_everybody_a_verdict(tmp_path: Path) -> None:
    subs, out = tmp_path / "in", tmp_path / "out"
    students = hostile(subs, LAB)
    folder(subs / "ada", solution(LAB))
    wrong = {"virtual-service.yaml": solution(LAB)["virtual-service.yaml"]}
    (subs / "bob.zip").write_bytes(zipped({f"hw/{name}": data for name, data in wrong.items()}))
    names = ["ada", "bob", "gone", *students]
    (tmp_path / "roster.csv").write_text(
        "student\n" + "".join(f'"{n}"\n' for n in names if n.isprintable())
    )
    (tmp_path / "times.csv").write_text("student,lab,submitted\nbob,1,2026-11-03 12:00\n")
    (tmp_path / "course.yaml").write_text(COURSE)
    words = ("batch", "1", str(subs), "--out", str(out))

    killed = start(tmp_path, *words)
    assert killed.stdout is not None
    for line in killed.stdout:
        if "✗ 1/" in line or "✓ 1/" in line:  # the first verdict stands, the others run
            os.kill(killed.pid, signal.SIGKILL)
            break
    killed.stdout.close()
    killed.wait()
    kept = {
        each.name: (each.run / "result.json").read_bytes()
        for each in Store(out).attempts(1)
        if each.done
    }
    assert kept

    again = start(tmp_path, *words)
    said, _ = again.communicate()
    assert again.returncode == 0, said
    assert "0 of them new" in said
    assert "Nothing handed in (1): gone" in said
    for each in Store(out).attempts(1):
        assert each.done
        if each.name in kept:
            assert (each.run / "result.json").read_bytes() == kept[each.name]

    grades = table(out / "grades.csv")
    assert set(grades) >= {*(n for n in names if n.isprintable()), "ada", "bob", "gone"}
    assert len(grades) == len(students) + 3
    assert (grades["ada"]["score"], grades["ada"]["verdict"]) == ("20", "pass")
    assert (grades["bob"]["max_score"], grades["bob"]["verdict"]) == ("20", "fail")
    assert grades["bob"]["score"] == "0"
    assert grades["gone"]["verdict"] == "missing"
    verdicts = Counter(row["verdict"] for row in grades.values())
    assert verdicts == {"pass": 1, "fail": len(students) + 1, "missing": 1}
    details = table(out / "details.csv")
    assert all(row["reason"] for row in details.values())
    assert "aliases" in details["yaml-bomb"]["reason"]
    assert not judges(out)
    evidence = "".join(str(p) for p in out.rglob("*")) + "".join(
        p.read_text() for p in out.rglob("handin.json")
    )
    assert "ada" not in evidence.replace(str(out), "")


def test_one_mesh_more_is_a_question_of_measured_load() -> None:
    free = Load(IDLE, MESH_MEMORY)
    assert admits(Load(0.0, 0), running=0, most=1)
    assert admits(free, running=1, most=2)
    assert not admits(free, running=2, most=2)
    assert not admits(Load(IDLE - 0.01, MESH_MEMORY), running=1, most=2)
    assert not admits(Load(1.0, MESH_MEMORY - 1), running=1, most=2)


def test_a_stall_is_seen_by_late_ticks_and_by_clocks_that_part() -> None:
    with StallWatch() as quiet:
        pass
    assert not quiet.stall.happened or quiet.stall.worst > 1
    assert Stall(1.5, 0.0).happened
    assert Stall(0.0, -3.0).happened
    assert not Stall(0.2, 0.01).happened
    times = iter([0.0, 10.0])
    assert StallWatch(clock=lambda: 0.0, wall=lambda: next(times)).stall.jumped == 10.0


def attempt(out: Path) -> Attempt:
    store = Store(out)
    files = {"destination-rule.yaml": b"", "virtual-service.yaml": b""}
    made = Attempt(store.folder(1, "aaaaaaaa", "d" * 64), 1, ["aaaaaaaa"], "d" * 64)
    return store.add(made, files)


class Scripted(Batch):
    """The queue itself; its judges run ``script`` (Python, with FOLDER) in place of the lab."""

    script = ""
    seen: tuple[bool, ...] = ()

    def command(self, attempt: Attempt) -> list[str]:
        return [sys.executable, "-c", f"FOLDER = {str(attempt.folder)!r}\n{self.script}"]

    def _start(self, attempt: Attempt, *, alone: bool) -> None:
        self.seen = (*self.seen, alone)
        super()._start(attempt, alone=alone)


STALLED = """
import json, pathlib
run = pathlib.Path(FOLDER) / 'run'
run.mkdir()
stall = 9.0 if len(list(pathlib.Path(FOLDER).glob('discarded-*'))) == 0 else 0.1
(run / 'host.json').write_text(json.dumps({'stall': {'worst': stall, 'jumped': 0.0}}))
result = {'verdict': 'pass', 'checks': [], 'score': 1, 'max_score': 1, 'seconds': 1.0}
(run / 'result.json').write_text(json.dumps(result))
"""


def test_a_verdict_taken_while_the_machine_stalled_is_taken_again_alone(tmp_path: Path) -> None:
    events: list[Event] = []
    work = Scripted("mitmproxy", "local", 4, events.append)
    work.script = STALLED
    one = attempt(tmp_path)
    work.run([one])
    assert [(each.kind, each.done) for each in events] == [("again", 0), ("done", 1)]
    assert events[0].text == "the machine stalled for 9.0 s meanwhile"
    assert work.seen == (False, True)
    assert one.done
    assert (one.discarded[0] / "why.txt").read_text() == events[0].text + "\n"
    work.run([one])  # done is done
    assert work.seen == (False, True)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise SystemExit('the kit broke')", "the kit broke"),
        ("import os; os.abort()", "the judge was ended by SIGABRT; it left no message"),
        ("import signal; signal.pause()", "it took longer than 0 s"),
    ],
)
def test_what_cannot_be_judged_three_times_is_ungradable_with_its_reason(
    code: str, why: str, tmp_path: Path
) -> None:
    events: list[Event] = []
    work = Scripted("mitmproxy", "local", 4, events.append, limit=0.4 if "pause" in code else 300)
    work.script = code
    one = attempt(tmp_path)
    work.run([one])
    assert [each.kind for each in events] == ["again", "again", "gave-up"]
    result = one.result()
    assert (result["verdict"], result["reason"]) == ("ungradable", why)
    assert work.seen == (False, True, True)


def test_checks_that_a_rescore_left_judge_what_is_measured_later(tmp_path: Path) -> None:
    work, one = Batch("mitmproxy", "local", 4, print), attempt(tmp_path)
    assert "--checks" not in work.command(one)
    kept = Store(one.folder.parents[2]).out / LAB.slug / CHECKS
    shutil.copy(LAB.folder / CHECKS, kept)
    assert work.command(one)[-2:] == ["--checks", str(kept)]


def test_half_a_run_is_no_verdict(tmp_path: Path) -> None:
    one = attempt(tmp_path)
    (one.folder / ".run.4711").mkdir()
    one.run.mkdir()
    sweep(one)
    assert not one.run.exists()
    assert not list(one.folder.glob(".run.*"))
    assert len(one.discarded) == 1


def test_two_graders_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        Store(tmp_path).lock(),
        pytest.raises(CourseError, match="Another grader"),
        Store(tmp_path).lock(),
    ):
        pass


def test_the_same_files_again_are_the_same_attempt_and_its_earliest_time_counts(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    one = attempt(tmp_path)
    later = Attempt(one.folder, 1, ["bbbbbbbb"], one.digest, submitted="2026-11-02T10:00:00+00:00")
    store.add(later, {})
    earlier = Attempt(
        one.folder, 1, ["aaaaaaaa"], one.digest, submitted="2026-11-01T10:00:00+01:00"
    )
    store.add(earlier, {})
    (known,) = store.attempts(1)
    assert known.members == ["aaaaaaaa", "bbbbbbbb"]
    assert known.submitted == "2026-11-01T10:00:00+01:00"
    raw = json.loads((known.folder / "handin.json").read_text())
    assert "folder" not in raw
