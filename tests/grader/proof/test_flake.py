"""Right answers again and again: what is on disk after a kill counts, and a changed kit does not."""

import json
import signal
from pathlib import Path

import pytest

from grader.lab import LabError, all_labs, find_lab
from grader.proof.flake import LOADS, count, shares_of
from grader.proof.flake_log import FlakeLog, Run, digest_of
from grader.run import ENGINES
from tests.grader.commands import start

RUN = Run("quiet", "solution", [], [], 2.0)


def test_a_log_goes_on_and_a_torn_line_is_a_run_less(tmp_path: Path) -> None:
    path = tmp_path / "flake" / "lab-01-envoy.jsonl"
    log = FlakeLog(path, "kit")
    log.add(RUN)
    log.add(Run("stress", "right", ["a"], [], 3.0, {"a": "because"}))
    with path.open("a") as file:
        file.write('{"load": "stre')
    again = FlakeLog(path, "kit")
    assert again.runs == log.runs
    again.add(RUN)
    assert [each.load for each in FlakeLog(path, "kit").runs] == ["quiet", "stress", "quiet"]
    again.forget()
    assert not FlakeLog(path, "kit").runs


def test_runs_of_another_kit_are_kept_and_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    FlakeLog(path, "before").add(RUN)
    assert not FlakeLog(path, "after").runs
    assert FlakeLog(path.with_suffix(".before"), "before").runs == [RUN]


def test_a_change_of_the_lab_or_the_code_is_another_kit(tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    for name in ("grader", "mesh", "services"):
        (kit / name).mkdir(parents=True)
    lab = find_lab(1)
    first = digest_of(lab, kit)
    assert first == digest_of(lab, kit)
    assert first != digest_of(find_lab(2), kit)
    (kit / "mesh" / "a.py").write_text("x = 1\n")
    assert first != digest_of(lab, kit)


def test_runs_are_spread_over_labs_and_engines() -> None:
    pairs = [(lab.number, each) for each in ENGINES for lab in all_labs() if each in lab.engines]
    shares = shares_of(None, 100, "both")
    assert [(each.lab.number, each.engine) for each in shares] == pairs
    assert sum(each.runs for each in shares) == 100
    assert len({each.runs for each in shares}) <= 2
    assert len(shares_of(3, 7, "envoy")) == 1
    with pytest.raises(LabError, match="lab 13 does not run on envoy"):
        shares_of(13, 7, "envoy")


def test_the_promised_rate_stands_beside_the_observed_one() -> None:
    runs = [RUN, Run("quiet", "r", ["a", "b"], [], 1.0), Run("quiet", "r", [], ["c"], 1.0)]
    found = count(find_lab(1), "envoy", LOADS[0], runs)
    assert (found.runs, found.false_fails, found.ungradable, found.seconds) == (3, 1, 1, 4.0)
    assert 0 < found.promised < 1e-4


@pytest.mark.nightly
def test_a_killed_term_goes_on(tmp_path: Path) -> None:
    words = ("prove-flake", "--lab", "2", "--runs", "3")
    killed = start(tmp_path, *words)
    assert killed.stdout is not None
    assert "quiet: 2 runs, 0 false fails" in next(each for each in killed.stdout if "Lab" in each)
    killed.send_signal(signal.SIGKILL)
    killed.stdout.close()
    assert killed.wait() == -signal.SIGKILL
    again = start(tmp_path, *words)
    said, _ = again.communicate()
    assert again.returncode == 0, said
    assert said.startswith("2 runs of this kit are on disk already, and count.")
    assert "0 false fails in 3 runs" in said
    found = json.loads((tmp_path / "runs" / "prove" / "flake.json").read_text())
    assert [(each["load"], each["runs"]) for each in found["counts"]] == [
        ("quiet", 2),
        ("stress", 1),
    ]
