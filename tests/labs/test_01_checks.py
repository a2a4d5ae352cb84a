"""Lab 1's checks on made-up records: pure functions, no mesh, no traffic."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grader.checks import judge, load_checks
from grader.evidence.record import Evidence, load_evidence
from grader.lab import LABS, read_lab
from grader.load.observation import Observation
from grader.verdict import CheckResult, Verdict

FOLDER = LABS / "01-canary"
LAB = read_lab(FOLDER)
FILE = load_checks(FOLDER / "checks.py")
PODS = {
    f"recommendation-{version}-abc": {"app": "recommendation", "version": version}
    for version in ("v1", "v2")
} | {"preference-v1-abc": {"app": "preference", "version": "v1"}}


def answer(probe: str, index: int, version: str) -> Observation:
    body = (
        "customer => preference => recommendation "
        f"{version} from 'recommendation-{version}-abc': {index + 1}\n"
    )
    return Observation(index, index // 25, f"{probe}-{index:05d}", 200, body, probe=probe)


def refusal(item: Observation, status: int = 503, body: str = "") -> Observation:
    return replace(item, status=status, body=body)


def record(
    share: float = 0.1,
    *,
    v1_reaches: str = "v1",
    v2_reaches: str = "v2",
    seed: int = 1,
    trials: int = 1700,
) -> Evidence:
    rng = random.Random(seed)
    items = [
        answer("share", n, v2_reaches if rng.random() < share else v1_reaches)
        for n in range(trials)
    ]
    items += [answer("subset-v1", n, v1_reaches) for n in range(40)]
    items += [answer("subset-v2", n, v2_reaches) for n in range(40)]
    items += [answer("move", n, ("v1", "v2")[n % 2]) for n in range(200)]
    journal = tuple(
        {"pod": pod, "request_id": item.request_id, "status": 200}
        for item in items
        for pod in (item.pod, "preference-v1-abc")
    )
    notes: dict[str, dict[str, Any]] = {"share": {}, "subsets": {}, "move": {}}
    return Evidence(LAB.parameters, PODS, notes, tuple(items), (), journal)


def verdicts(evidence: Evidence) -> dict[str, CheckResult]:
    return {item.name: item for item in judge(FILE.checks, evidence)}


def lost(evidence: Evidence) -> set[str]:
    return {name for name, item in verdicts(evidence).items() if item.verdict is Verdict.FAIL}


def test_ten_points_in_all_and_sentences_to_read() -> None:
    assert FILE.max_score == 10
    assert [item.name for item in FILE.probes] == ["share", "subsets", "move", "predicted"]
    assert all(item.description.endswith(".") for item in FILE.checks)


@pytest.mark.parametrize("seed", range(20))
def test_the_solution_gets_full_marks(seed: int) -> None:
    results = verdicts(record(seed=seed))
    assert {item.verdict for item in results.values()} == {Verdict.PASS}
    assert sum(item.points for item in results.values()) == 10


@pytest.mark.parametrize(
    ("share", "lose", "says"),
    [
        (0.0, {"traffic-shifts", "share-is-right"}, "all traffic stays with v1"),
        (0.2, {"share-is-right"}, "the task asks for 10 %"),
        (0.02, {"share-is-right"}, "the task asks for 10 %"),
        (0.5, {"share-is-right"}, "the task asks for 10 %"),
        (0.9, {"share-is-right"}, "the weights look exchanged"),
        (1.0, {"traffic-shifts", "share-is-right"}, "nothing is left for v1"),
    ],
)
def test_a_wrong_share_loses_its_points(share: float, lose: set[str], says: str) -> None:
    evidence = record(share)
    assert lost(evidence) == lose
    found = verdicts(evidence)["share-is-right"]
    assert says in found.rationale
    assert "false fail <= 1e-6, miss <= 1e-3" in found.evidence
    assert found.help


def test_a_missing_version_is_named() -> None:
    assert "v2 answered none of 1700" in verdicts(record(0.0))["traffic-shifts"].rationale
    assert "v1 answered none of 1700" in verdicts(record(1.0))["traffic-shifts"].rationale


def test_exchanged_labels() -> None:
    evidence = record(0.1, v1_reaches="v2", v2_reaches="v1")
    assert lost(evidence) == {"subsets-select-the-right-pods", "share-is-right"}
    found = verdicts(evidence)["subsets-select-the-right-pods"].rationale
    assert "Subset v1 reached recommendation-v2-abc with 40 of 40 requests" in found


def test_the_body_may_lie_the_journal_does_not() -> None:
    evidence = record()
    journal = tuple(
        {**line, "pod": "recommendation-v1-abc"}
        if str(line["request_id"]).startswith("subset-v2") and "recommendation" in str(line["pod"])
        else line
        for line in evidence.journal
    )
    assert lost(replace(evidence, journal=journal)) == {"subsets-select-the-right-pods"}


def test_a_subset_that_is_not_defined_is_explained_by_the_access_log() -> None:
    evidence = record()
    items = tuple(
        refusal(item) if item.probe == "subset-v2" or item.version == "v2" else item
        for item in evidence.observations
    )
    access = tuple(
        {"pod": "preference-v1-abc", "request_id": item.request_id, "response_flags": "NC"}
        for item in items
        if item.status == 503
    )
    evidence = replace(evidence, observations=items, access_log=access)
    assert lost(evidence) == {item.name for item in FILE.checks}
    text = verdicts(evidence)["subsets-select-the-right-pods"].rationale
    assert "40 of 40 requests were answered 503" in text
    assert "preference-v1-abc says NC, no such cluster" in text


def test_failures_that_retries_hide_are_named() -> None:
    evidence = record(0.0)
    access = tuple(
        {"pod": "preference-v1-abc", "request_id": f"share-{n:05d}", "response_flags": "UH"}
        for n in (3, 3, 14)
    )
    text = verdicts(replace(evidence, access_log=access))["traffic-shifts"].rationale
    assert "2 of the 1700 answered requests failed on the way and were retried" in text
    assert "preference-v1-abc says UH, the subset has no pod" in text


def test_one_failed_request_while_the_weights_move() -> None:
    evidence = record()
    items = list(evidence.observations)
    items[-1] = refusal(items[-1], body="no healthy upstream")
    evidence = replace(evidence, observations=tuple(items))
    assert lost(evidence) == {"no-request-fails"}
    text = verdicts(evidence)["no-request-fails"].rationale
    assert "1 of 200 requests were answered 503; the first said 'no healthy upstream'" in text


def test_lost_connections_are_ungradable() -> None:
    evidence = record()
    items = tuple(
        replace(item, status=0, body="", error="ConnectionResetError()")
        if item.index % 20 == 0
        else item
        for item in evidence.observations
    )
    results = verdicts(replace(evidence, observations=items))
    assert {item.verdict for item in results.values()} == {Verdict.UNGRADABLE}
    assert "connections to the gateway broke" in results["share-is-right"].rationale


def test_what_a_probe_could_not_find_out_is_ungradable() -> None:
    notes = {"share": {"error": "the load driver ended too early"}, "subsets": {}, "move": {}}
    results = verdicts(replace(record(), notes=notes))
    assert results["share-is-right"].verdict is Verdict.UNGRADABLE
    assert results["share-is-right"].rationale == "the load driver ended too early"
    assert results["no-request-fails"].verdict is Verdict.PASS
    assert verdicts(replace(record(), notes={}))["no-request-fails"].verdict is Verdict.UNGRADABLE


def test_a_record_that_ends_too_early_is_ungradable() -> None:
    found = verdicts(record(trials=25))["share-is-right"]
    assert found.verdict is Verdict.UNGRADABLE
    assert found.points == 0


def test_saved_evidence_gives_the_same_verdicts(tmp_path: Path) -> None:
    evidence = record(0.2)
    evidence.save(tmp_path)
    again = load_evidence(tmp_path)
    assert again == evidence
    assert judge(FILE.checks, again) == judge(FILE.checks, evidence)
