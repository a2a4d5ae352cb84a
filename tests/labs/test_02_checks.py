"""Lab 2's checks on made-up records: what is said of copies that v2 does not get."""

import pytest

from grader.checks import judge, load_checks
from grader.evidence.record import Evidence
from grader.lab import LABS, read_lab
from grader.load.observation import Observation
from grader.verdict import CheckResult, Verdict

FOLDER = LABS / "02-mirroring"
LAB = read_lab(FOLDER)
FILE = load_checks(FOLDER / "checks.py")
PODS = {
    f"recommendation-{version}": {"app": "recommendation", "version": version}
    for version in ("v1", "v2")
}
REQUESTS = 500


def record(copies_at: str) -> Evidence:
    """Every request is answered by v1, and every second one is copied to ``copies_at``."""
    ids = [f"copies-{index:05d}" for index in range(REQUESTS)]
    seen = tuple(
        Observation(index, 0, name, 200, "", probe="copies") for index, name in enumerate(ids)
    )
    ways = [("recommendation-v1", name, "recommendation:8080") for name in ids]
    if copies_at:
        ways += [(copies_at, name, "recommendation-shadow:8080") for name in ids[::2]]
    journal = tuple({"pod": pod, "request_id": name, "status": 200} for pod, name, _ in ways)
    log = tuple({"pod": pod, "request_id": name, "authority": to} for pod, name, to in ways)
    return Evidence(LAB.parameters, PODS, {"copies": {}}, seen, log, journal)


def results(evidence: Evidence) -> dict[str, CheckResult]:
    return {each.name: each for each in judge(FILE.checks, evidence)}


def test_copies_of_half_of_the_requests_are_right() -> None:
    told = results(record("recommendation-v2"))
    assert told["v2-gets-copies"].verdict is Verdict.PASS
    assert told["share-of-copies-is-right"].verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("copies_at", "said"),
    [
        ("", "v2 handled nothing."),
        ("recommendation-v1", "v2 handled nothing, and v1 handled 250 requests twice"),
    ],
)
def test_who_pays_for_copies_that_v2_does_not_get_is_said(copies_at: str, said: str) -> None:
    told = results(record(copies_at))
    for name in ("v2-gets-copies", "share-of-copies-is-right"):
        assert told[name].verdict is Verdict.FAIL
    assert told["v2-gets-copies"].rationale.startswith(said)
    assert "no copy of" in told["share-of-copies-is-right"].rationale.lower()
