"""How the answers of lab 3 are judged: each by what the run measured."""

from __future__ import annotations

from grader.checks import answer
from grader.evidence.answered import diagnosed, diagnosed_flag, same, share_fits
from grader.evidence.record import Evidence
from grader.verdict import Outcome

FLAGS = ("DI", "FI", "UH", "URX", "UT")


@answer(points=1, needs=("predicted",))
def both_of_1000(evidence: Evidence, given: float) -> Outcome:
    """Requests whose access log line has both flags."""
    ids = {item.request_id for item in evidence.probe("predicted-faults")}
    both = {
        line["request_id"]
        for line in evidence.access_log
        if line.get("request_id") in ids
        and {"DI", "FI"} <= set(str(line.get("response_flags", "")).split(","))
    }
    return share_fits(given / 1000, len(both), len(ids), "Delayed and aborted were")


@answer(points=1, needs=("predicted",))
def arriving_of_200(evidence: Evidence, given: float) -> Outcome:
    """Requests in the journal of recommendation."""
    ids = {item.request_id for item in evidence.probe("predicted-faults")}
    there = {line["request_id"] for line in evidence.journal_of(ids, "recommendation")}
    return share_fits(given / 200, len(there), len(ids), "recommendation saw")


@answer(points=1, needs=("predicted",))
def timeout_beside_a_delay(evidence: Evidence, given: str) -> Outcome:
    """What a caller got from a rule with both."""
    seen = evidence.probe("predicted-timeout")[0]
    if seen.status == 200:
        kind = f"the-answer-after-{'2' if seen.seconds >= 2 else '1'}-s"
    else:
        kind = "504-after-1-s" if seen.status == 504 else "503-at-once"
    return same(given, kind, f"The caller got {seen.status} after {seen.seconds:.1f} s.")


@answer(points=1, needs=("diagnosis",))
def flag(evidence: Evidence, given: str) -> Outcome:
    """The flag in the broken mesh's logs."""
    return diagnosed_flag(evidence, given, FLAGS)


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
