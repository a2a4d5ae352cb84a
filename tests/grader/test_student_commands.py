"""hint, submit, progress: what they write, and what they say."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from grader.hints import load_hints
from grader.lab import find_lab
from grader.student_commands import hint, progress, submit

LAB = find_lab(1)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_hints_open_one_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    hints = load_hints(LAB)
    for count in range(1, len(hints) + 2):
        assert hint(1) == 0
        out = capsys.readouterr().out
        for index, item in enumerate(hints):
            assert (f"Hint {index + 1} of {len(hints)}: {item.title}" in out) == (index < count)
    assert "These are all hints there are." in out
    Path("work/lab-01/.hints").write_text("nonsense")
    assert hint(1) == 0
    assert "Hint 1" in capsys.readouterr().out


def test_a_submission_is_exactly_the_files_listed(capsys: pytest.CaptureFixture[str]) -> None:
    hint(1)
    Path("work/lab-01/notes.txt").write_text("mine")
    assert submit(1) == 0
    first = capsys.readouterr().out
    archive = Path("submissions/lab-01-self-study.zip")
    with zipfile.ZipFile(archive) as packed:
        assert packed.namelist() == list(LAB.files)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert first.splitlines()[-1].replace("-", "").endswith(digest[:16])
    for name in LAB.files:
        assert f"  {name} (" in first
    assert "These are the starter's files, untouched." in first
    assert "0 of 5 answers are written down." in first
    assert submit(1) == 0
    assert capsys.readouterr().out.splitlines()[-1] == first.splitlines()[-1]
    (Path("work/lab-01") / "virtual-service.yaml").write_text("other")
    submit(1)
    assert capsys.readouterr().out.splitlines()[-1] != first.splitlines()[-1]


def test_what_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    hint(1)
    Path("work/lab-01/destination-rule.yaml").unlink()
    capsys.readouterr()
    assert submit(1) == 2
    assert "destination-rule.yaml is missing" in capsys.readouterr().out
    assert not Path("submissions").exists()


def test_answers_that_cannot_be_read_are_told_before_handing_in(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hint(1)
    Path("work/lab-01/answers.yaml").write_text("cause: sickpod\nflag: NC\n")
    submit(1)
    out = capsys.readouterr().out
    assert "work/lab-01/answers.yaml:1: 'sickpod' is not an answer to cause" in out
    assert "1 of 5 answers are written down." in out


def test_progress_counts_what_could_be_judged(capsys: pytest.CaptureFixture[str]) -> None:
    for name, score, verdict in (("a", 4, "fail"), ("b", 10, "pass"), ("c", 0, "ungradable")):
        folder = Path("runs/lab-01") / name
        folder.mkdir(parents=True)
        result = {
            "score": score,
            "max_score": 10,
            "verdict": verdict,
            "answers_score": 3,
            "answers_max": 6,
        }
        (folder / "result.json").write_text(json.dumps(result))
    (Path("runs/lab-01") / "latest").symlink_to("b")
    (Path("runs/lab-01") / "torn").mkdir()
    (Path("runs/lab-01/torn") / "result.json").write_text('{"score": 10')
    assert progress() == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "Canary" in line)
    assert row.split()[-5:] == ["2", "10/10", "10/10", "3/6", "0/5"]
