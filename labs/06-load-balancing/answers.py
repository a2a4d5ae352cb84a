"""How the answers of lab 6 are judged: each by what the run measured."""

from __future__ import annotations

from grader.checks import answer
from grader.evidence.answered import diagnosed, same, share_fits
from grader.evidence.record import Evidence
from grader.evidence.traffic import split
from grader.verdict import Outcome, failed, passed


@answer(points=1, needs=("predicted",))
def even_counts(evidence: Evidence, given: float) -> Outcome:
    """Requests that v3 answered when pods take turns."""
    seen = evidence.probe("predicted-even")
    counts = split(seen)
    return same(given, float(counts.get("v3", 0)), f"v3 answered {counts.get('v3', 0)}.")


def busy(evidence: Evidence, given: float, name: str) -> Outcome:
    """The share of requests that came to the busy pod."""
    seen = evidence.probe(name)
    hits = sum(1 for item in seen if item.version == "v3")
    return share_fits(given / 100, hits, len(seen), "requests that came to the busy pod")


@answer(points=1, needs=("predicted",))
def busy_and_random(evidence: Evidence, given: float) -> Outcome:
    """RANDOM does not look."""
    return busy(evidence, given, "predicted-random")


@answer(points=1, needs=("predicted",))
def busy_and_least_conn(evidence: Evidence, given: float) -> Outcome:
    """Two draws, and the busy pod is chosen only when both find it."""
    return busy(evidence, given, "predicted-least")


@answer(points=1, needs=("predicted",))
def nobody_in_particular(evidence: Evidence, given: float) -> Outcome:
    """Without a key there is nothing to hash: the draw is random."""
    pods = split(evidence.probe("predicted-no-key"))
    return same(given, float(len(pods)), f"{len(pods)} pods got some of them.")


@answer(points=1, needs=("diagnosis",))
def pods_that_answered(evidence: Evidence, given: float) -> Outcome:
    """What the clients and the logs show; the number is not given away."""
    count = len(split(evidence.probe("diagnosis")))
    if given == count:
        return passed(f"{count} of 3 pods answered.")
    return failed(
        "Another number of pods answered.", help="Who wrote inbound lines into diagnosis/log.txt?"
    )


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
