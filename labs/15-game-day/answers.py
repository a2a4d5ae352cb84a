"""How the answers of lab 15 are judged: each by what the run measured."""

from __future__ import annotations

from grader.checks import answer
from grader.evidence.answered import diagnosed, diagnosed_flag, same
from grader.evidence.record import Evidence
from grader.verdict import Outcome

FLAGS = ("FI", "NC", "UH", "UO", "UT")
NAMES = {
    frozenset({"valid"}): "today",
    frozenset({"valid", "plain"}): "today-and-none",
    frozenset({"valid", "expired"}): "today-and-yesterday",
    frozenset({"valid", "plain", "expired", "other-authority"}): "everybody",
}
"""Who was answered, and the answer's word for it."""


@answer(points=1, needs=("predicted",))
def tries_of_one_visit(evidence: Evidence, given: float) -> Outcome:
    """Lines of recommendation's journal for one visit at the gateway."""
    ids = [item.request_id for item in evidence.probe("predicted-visit")]
    count = len(evidence.journal_of(ids, "recommendation"))
    return same(given, float(count), f"recommendation got {count} requests for one visit.")


@answer(points=1, needs=("predicted",))
def records_one_by_one(evidence: Evidence, given: float) -> Outcome:
    """Lines of the two sidecars' access logs for the requests of one page."""
    ids = {item.request_id for item in evidence.probe("predicted-items")}
    count = sum(1 for line in evidence.access_log if line.get("request_id") in ids)
    return same(given, float(count), f"The two sidecars wrote {count} records.")


@answer(points=1, needs=("predicted",))
def who_gets_in(evidence: Evidence, given: str) -> Outcome:
    """Which of four peers a permissive sidecar answered."""
    peers: dict[str, int] = evidence.notes["predicted"]["peers"]
    found = frozenset(name for name, status in peers.items() if status == 200)
    return same(given, NAMES.get(found, "others"), f"Answered: {', '.join(sorted(found))}.")


@answer(points=1, needs=("diagnosis",))
def flag(evidence: Evidence, given: str) -> Outcome:
    """The flag in the broken mesh's logs."""
    return diagnosed_flag(evidence, given, FLAGS)


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
