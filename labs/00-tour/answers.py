"""How the answers of lab 0 are judged: each by what the run measured."""

from __future__ import annotations

from grader.checks import answer
from grader.evidence.answered import diagnosed, diagnosed_flag, same
from grader.evidence.record import Evidence
from grader.verdict import Outcome, ungradable

FLAGS = ("FI", "NC", "NR", "UF", "UH", "UT")


def received(evidence: Evidence, probe: str) -> int:
    """How many requests recommendation got in a probe."""
    ids = {item.request_id for item in evidence.probe(probe)}
    return sum(
        line.get("request_id") in ids and str(line.get("pod", "")).startswith("recommendation-")
        for line in evidence.journal
    )


@answer(points=1, needs=("predicted",))
def lines_of_a_request(evidence: Evidence, given: float) -> Outcome:
    """Lines of all access logs with the request's id."""
    ids = [item.request_id for item in evidence.probe("predicted-plain")]
    lines = [line for line in evidence.access_log if line.get("request_id") == ids[0]]
    pods = ", ".join(str(line.get("pod", "")).partition("-")[0] for line in lines)
    return same(given, float(len(lines)), f"{len(lines)} lines, written by {pods}.")


@answer(points=1, needs=("predicted",))
def hand_times_mesh(evidence: Evidence, given: float) -> Outcome:
    """What recommendation got through shop's own tries, each of them tried again by the mesh."""
    count = received(evidence, "predicted-both")
    return same(given, float(count), f"recommendation got {count} requests.")


@answer(points=1, needs=("predicted",))
def reports_by_hand(evidence: Evidence, given: float) -> Outcome:
    """What recommendation got through reports' own code alone."""
    count = received(evidence, "predicted-reports")
    return same(given, float(count), f"recommendation got {count} requests.")


@answer(points=1, needs=("headless",))
def without_pilot(evidence: Evidence, given: float) -> Outcome:
    """Answers with 200 while there was no control plane."""
    seen = evidence.probe("headless")
    if not seen or not evidence.notes["headless"].get("apply_refused"):
        return ungradable("the control plane could not be killed")
    good = sum(1 for item in seen if item.status == 200)
    return same(given, float(good), f"{good} of {len(seen)} customers got their page.")


@answer(points=1, needs=("diagnosis",))
def flag(evidence: Evidence, given: str) -> Outcome:
    """The flag in the broken mesh's logs."""
    return diagnosed_flag(evidence, given, FLAGS)


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
