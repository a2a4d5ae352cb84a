"""How answers are judged by what a run measured, and the sentences that say so."""

from __future__ import annotations

from grader.answers import Given
from grader.evidence.fixed import mass
from grader.evidence.record import Evidence
from grader.evidence.sequential import ALPHA
from grader.evidence.traffic import flagged, percent
from grader.verdict import Outcome, failed, passed, ungradable

LOOK = "Look at what this run recorded, and say why it came out so before you change the answer."


def same(given: Given, measured: Given, said: str) -> Outcome:
    """The answer is what was measured; ``said`` tells the measurement in a sentence."""
    if given == measured:
        return passed(said)
    return failed(said, help=LOOK)


def within(given: float, low: float, high: float, said: str) -> Outcome:
    """The answer lies in what the measurement allows, bounds included."""
    if low <= given <= high:
        return passed(said)
    return failed(said, help=LOOK)


def share_fits(given: float, hits: int, trials: int, said: str) -> Outcome:
    """A predicted share (0 to 1) agrees with ``hits`` of ``trials``.

    Exact and two-sided: the true share is refused less than once in a million runs.  The more
    trials, the closer a prediction has to be: with 200 trials about 12 points around 20 %.
    """
    if not trials:
        return ungradable("nothing was measured")
    low = mass(0, hits, trials, given)
    high = mass(hits, trials, trials, given)
    told = f"{said}: {hits} of {trials} ({percent(hits, trials)})."
    if min(low, high) >= ALPHA / 2:
        return passed(told)
    return failed(told, help=LOOK)


def flag_of(evidence: Evidence, probe: str, among: tuple[str, ...]) -> str:
    """The flag that sidecars raised most often in a probe; ``""`` when it is none of ``among``."""
    said, _ = flagged(evidence, evidence.probe(probe))
    word = said.partition(" says ")[2].partition(",")[0]
    return word if word in among else ""


def diagnosed(evidence: Evidence, given: Given) -> Outcome:
    """The name of the broken mesh; the answer is not given away."""
    if given == evidence.notes["diagnosis"].get("variant"):
        return passed("That is what was broken.")
    return failed(
        "Something else is broken in this mesh.",
        help="Which sidecar says it first, with which flag, about which cluster? diagnosis/ has it.",
    )


def diagnosed_flag(evidence: Evidence, given: Given, among: tuple[str, ...]) -> Outcome:
    """The flag in the broken mesh's access logs; the answer is not given away."""
    measured = flag_of(evidence, "diagnosis", among)
    if not measured:
        return ungradable("the broken mesh showed none of the flags")
    if given == measured:
        return passed(f"The sidecars say {measured}.")
    return failed("The sidecars say another one.", help="Look into diagnosis/log.txt.")
