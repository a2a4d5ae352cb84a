"""How the answers of lab 1 are judged: each by what the run measured."""

from __future__ import annotations

from collections import Counter

from grader.checks import answer
from grader.evidence.answered import diagnosed, diagnosed_flag, flag_of, same, share_fits
from grader.evidence.record import Evidence
from grader.verdict import Outcome, ungradable

FLAGS = ("NC", "NR", "UF", "UH", "URX", "UT")


@answer(points=1, needs=("predicted",))
def v2_of_1000(evidence: Evidence, given: float) -> Outcome:
    """The share that was measured allows the one that was predicted."""
    seen = [item for item in evidence.probe("predicted-share") if item.version]
    hits = sum(1 for item in seen if item.version == "v2")
    return share_fits(given / 1000, hits, len(seen), "With the task's weights v2 answered")


@answer(points=1, needs=("predicted",))
def flag_of_an_empty_subset(evidence: Evidence, given: str) -> Outcome:
    """The flag in the access logs of requests to a subset without pods."""
    measured = flag_of(evidence, "predicted-empty", FLAGS)
    if not measured:
        return ungradable("no sidecar raised a flag")
    return same(given, measured, f"preference's sidecar wrote {measured}.")


@answer(points=1, needs=("predicted",))
def before_the_rule(evidence: Evidence, given: str) -> Outcome:
    """What the same requests got while the rule was missing."""
    seen = evidence.probe("predicted-order")
    kinds = Counter(
        f"answered-by-{item.version}" if item.version else f"refused-with-{item.status}"
        for item in seen
    )
    kind, count = kinds.most_common(1)[0]
    if len(kinds) > 1 and all(name.startswith("answered") for name in kinds):
        kind, count = "answered-by-any-pod", len(seen)
    return same(given, kind, f"{count} of {len(seen)} requests were {kind.replace('-', ' ')}.")


@answer(points=1, needs=("diagnosis",))
def flag(evidence: Evidence, given: str) -> Outcome:
    """The flag in the broken mesh's logs."""
    return diagnosed_flag(evidence, given, FLAGS)


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
