import json
from pathlib import Path

from grader.evidence.record import Evidence
from grader.result import KEEP, Result, digest, save
from grader.verdict import CheckResult, Verdict

EVIDENCE = Evidence(notes={"share": {"split": {"v1": 1}}})


def result(verdict: Verdict, points: int = 0) -> Result:
    check = CheckResult("a", "A.", verdict, points, 4, "because", "help", "1 of 1")
    return Result(1, 2.5, "mitmproxy", "local", "istio-1.9", "seed", (check,))


def test_the_fields_that_others_read(tmp_path: Path) -> None:
    handed_in = tmp_path / "a.yaml"
    handed_in.write_text("a: 1\n")
    folder = save(tmp_path / "runs", result(Verdict.PASS, 4), EVIDENCE, [handed_in])
    data = json.loads((tmp_path / "runs" / "latest" / "result.json").read_text())
    assert {
        "lab", "score", "max_score", "verdict", "seconds", "engine", "runtime", "era", "seed",
        "checks",
    } <= set(data)  # fmt: skip
    assert set(data["checks"][0]) >= {
        "name", "verdict", "points", "max_points", "rationale", "help", "evidence",
    }  # fmt: skip
    assert (data["score"], data["max_score"], data["verdict"]) == (4, 4, "pass")
    assert (folder / "files" / "a.yaml").read_text() == "a: 1\n"
    assert (folder / "observations.jsonl").exists()


def test_latest_is_the_last_run_that_could_be_judged(tmp_path: Path) -> None:
    save(tmp_path, result(Verdict.UNGRADABLE), EVIDENCE, [])
    first = save(tmp_path, result(Verdict.FAIL), EVIDENCE, [])
    assert (tmp_path / "latest").resolve() == first.resolve()
    save(tmp_path, result(Verdict.UNGRADABLE), EVIDENCE, [])
    assert (tmp_path / "latest").resolve() == first.resolve()
    last = save(tmp_path, result(Verdict.PASS, 4), EVIDENCE, [])
    assert (tmp_path / "latest").resolve() == last.resolve()


def test_old_runs_go(tmp_path: Path) -> None:
    good = save(tmp_path, result(Verdict.PASS, 4), EVIDENCE, [])
    for _ in range(KEEP + 5):
        save(tmp_path, result(Verdict.UNGRADABLE), EVIDENCE, [])
    assert good.exists()
    assert len([path for path in tmp_path.iterdir() if not path.is_symlink()]) == KEEP + 1


def test_digest_depends_on_names_and_contents(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("ab")
    two.write_text("c")
    before = digest([one, two])
    one.write_text("a")
    two.write_text("bc")
    assert digest([one, two]) != before
