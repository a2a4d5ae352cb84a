"""How the answers of lab 5 are judged: each by what the run measured."""

from __future__ import annotations

from grader.checks import answer
from grader.evidence.answered import diagnosed, diagnosed_flag, same
from grader.evidence.record import Evidence
from grader.verdict import Outcome

FLAGS = ("DI", "FI", "UH", "URX", "UT")


def tries(evidence: Evidence, probe: str) -> int:
    """How many requests recommendation got in a probe."""
    ids = [item.request_id for item in evidence.probe(probe)]
    return len(evidence.journal_of(ids, "recommendation"))


@answer(points=1, needs=("predicted",))
def tries_in_all(evidence: Evidence, given: float) -> Outcome:
    """Lines of recommendation's journal for one GET."""
    count = tries(evidence, "predicted-503")
    return same(given, float(count), f"recommendation got {count} requests.")


@answer(points=1, needs=("predicted",))
def slide_on_a_slow_host(evidence: Evidence, given: float) -> Outcome:
    """The same, with the slide's retries and a slow host."""
    count = tries(evidence, "predicted-slide")
    status = evidence.probe("predicted-slide")[0].status
    return same(given, float(count), f"recommendation got {count} requests, the caller {status}.")


@answer(points=1, needs=("predicted",))
def posts_that_happened(evidence: Evidence, given: float) -> Outcome:
    """POSTs in recommendation's journal whose callers got 504."""
    count = tries(evidence, "predicted-posts")
    seen = evidence.probe("predicted-posts")
    late = sum(1 for item in seen if item.status == 504)
    return same(given, float(count), f"{late} callers got 504, {count} POSTs happened.")


@answer(points=1, needs=("diagnosis",))
def flag(evidence: Evidence, given: str) -> Outcome:
    """The flag in the broken mesh's logs."""
    return diagnosed_flag(evidence, given, FLAGS)


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
