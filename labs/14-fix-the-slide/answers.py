"""How the answers of lab 14 are judged: each by what the run measured."""

from __future__ import annotations

from grader.checks import answer
from grader.evidence.answered import diagnosed, flag_of, same
from grader.evidence.record import Evidence
from grader.evidence.traffic import FLAGS
from grader.verdict import Outcome, failed, passed


def lines(evidence: Evidence, probe: str, app: str) -> int:
    """How many requests of a probe an application wrote down."""
    ids = [item.request_id for item in evidence.probe(probe)]
    return len(evidence.journal_of(ids, app))


@answer(points=1, needs=("printed",))
def spelling_mended(evidence: Evidence, given: str) -> Outcome:
    """A route to a subset that no DestinationRule defines."""
    seen = evidence.probe("printed-route")
    status = seen[0].status
    if status == 200:
        ids = [item.request_id for item in seen]
        pods = {str(line["pod"]) for line in evidence.journal_of(ids, "serviceb")}
        truth = "200-by-v1" if len(pods) == 1 else "200-by-v1-and-v2"
    else:
        truth = f"{status}-{flag_of(evidence, 'printed-route', tuple(FLAGS))}"
    return same(given, truth, f"all {len(seen)} requests: {truth.replace('-', ' ')}.")


@answer(points=1, needs=("printed",))
def retries_then(evidence: Evidence, given: float) -> Outcome:
    """What a route without retries does in istio-1.0."""
    count = lines(evidence, "printed-retries-then", "serviceb")
    return same(given, float(count), f"serviceb got {count} requests.")


@answer(points=1, needs=("printed",))
def retries_now(evidence: Evidence, given: float) -> Outcome:
    """What a route without retries does in istio-1.9."""
    count = lines(evidence, "printed-retries-now", "serviceb")
    return same(given, float(count), f"serviceb got {count} requests.")


@answer(points=1, needs=("printed",))
def errors_now(evidence: Evidence, given: float) -> Outcome:
    """What consecutiveErrors is in istio-1.9."""
    count = sum(1 for item in evidence.probe("printed-errors") if item.status == 500)
    return same(given, float(count), f"the sick pod gave {count} errors.")


@answer(points=1, needs=("diagnosis",))
def failed_visits(evidence: Evidence, given: float) -> Outcome:
    """What the clients saw; the number is not given away."""
    bad = sum(1 for item in evidence.probe("diagnosis") if item.status != 200)
    if given == bad:
        return passed(f"{bad} visits failed.")
    return failed("Another number of visits failed.", help="Count in diagnosis/client.txt.")


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
