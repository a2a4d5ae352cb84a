"""A job array of local processes, merged; and answers that are too much alike."""

import json
import shutil
from pathlib import Path

import pytest

from grader.course.array import jobs, judge_one, merge
from grader.course.commands import grade_batch
from grader.course.intake import PARAMETERS
from grader.course.similar import findings, show_similar
from grader.course.store import Store
from grader.lab import find_lab
from grader.run import Options
from tests.grader.commands import grade
from tests.grader.course.hostile import folder, mutant, solution

LAB = find_lab(1)


def test_jobs_on_other_machines_come_back_and_are_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    right = solution(LAB)
    for name in ("ada", "bob"):  # files that do not load need no mesh
        folder(tmp_path / "in" / name, {**right, LAB.files[0]: f"kind: [ # {name}\n".encode()})
    folder(tmp_path / "in" / "cat", {"x": b""})
    out = tmp_path / "out"
    assert grade_batch(1, tmp_path / "in", out, None, 1, Options(), intake_only=True) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "jobs: 2"

    parts = [tmp_path / f"machine-{index}" for index in range(2)]
    for index, part in enumerate(parts):
        shutil.copytree(out, part)
        done = grade(tmp_path, "judge", "1", "--index", str(index), "--out", str(part))
        assert done.returncode == 0, done.stdout
        assert sum(each.done for each in jobs(Store(part), 1)) == 1
    assert judge_one(1, 7, out, None, Options()) == 0
    assert "There is no job 7; lab 1 has 2." in capsys.readouterr().out

    assert merge(out, parts[:1], None) == 0
    assert "1 results taken over, 1 still missing" in capsys.readouterr().out
    assert merge(out, parts, None) == 0
    assert "1 results taken over, 0 still missing" in capsys.readouterr().out
    assert merge(out, parts, None) == 0
    assert "0 results taken over" in capsys.readouterr().out
    lines = (out / "grades.csv").read_text().splitlines()[1:]
    assert [line.split(",")[:5] for line in lines] == [
        ["ada", "1", "0", "10", "fail"],
        ["bob", "1", "0", "10", "fail"],
        ["cat", "1", "0", "10", "fail"],
    ]

    other = parts[0] / "lab-01"
    mine = next(each for each in other.iterdir() if list(each.rglob("run/result.json")))
    mine.rename(other / "somebody")
    assert merge(out, parts[:1], None) == 2
    assert "belongs to another OUT" in " ".join(capsys.readouterr().out.split())


def test_alike_files_and_foreign_answers_are_told_apart(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [each.kind for each in findings(store.attempts(1))] == ["foreign"]  # bob's 20 %
    odd = mutant(LAB, "other-names", tmp_path)
    noted = {name: data + b"# by hand\n" for name, data in odd.items()}
    from grader.course.course import Course
    from grader.course.intake import take_in

    folder(tmp_path / "more" / "eve", odd)
    folder(tmp_path / "more" / "fay", noted)
    folder(tmp_path / "more" / "gil", noted)
    folder(tmp_path / "more" / "hal", mutant(LAB, "eighty-twenty", tmp_path))
    take_in(store, Course(), LAB, tmp_path / "more", engine="mitmproxy", runtime="local")
    hal = next(each for each in store.attempts(1) if store.alias("hal") in each.members)
    (hal.folder / PARAMETERS).write_text(
        json.dumps({"values": {**LAB.parameters, "share": 20}, "seed": "s"})
    )
    assert show_similar(store.out, None) == 0
    told = capsys.readouterr().out
    assert (
        "lab 1, foreign: bob, hal: the files answer another student's set of parameters, as hal did"
        in told
    )
    assert "same text: fay, gil: the same files, character for character" in told.replace(
        "gil, fay", "fay, gil"
    )
    assert "same form: " in told
    assert told.splitlines()[-1].endswith("findings, for a person to judge.")
