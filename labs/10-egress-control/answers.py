"""How the answers of lab 10 are judged: each by what the run measured."""

from __future__ import annotations

from grader.checks import answer
from grader.evidence.answered import diagnosed, same
from grader.evidence.record import Evidence
from grader.verdict import Outcome, failed, passed, ungradable

WAY_OUT = ("istio-ingressgateway", "customer", "preference", "istio-egressgateway")
ENDS = {200: "answered", 404: "refused-with-404", 403: "refused-with-403", 0: "no-connection"}


def status(evidence: Evidence, given: float, name: str) -> Outcome:
    """Compare the status of a request with the predicted one."""
    found = evidence.notes["predicted"][name]
    if not found:
        return ungradable("no answer came")
    return same(given, float(found), f"It was answered {found}.")


@answer(points=1, needs=("predicted",))
def below_the_page(evidence: Evidence, given: float) -> Outcome:
    """A regex has to fit the whole path."""
    return status(evidence, given, "below-the-page")


@answer(points=1, needs=("predicted",))
def past_the_rule(evidence: Evidence, given: str) -> Outcome:
    """Nobody sees the path of what is encrypted."""
    found = ENDS.get(evidence.notes["predicted"]["past-the-rule"], "")
    if not found:
        return ungradable("it was answered in another way")
    return same(given, found, f"It was {found}.")


@answer(points=1, needs=("predicted",))
def not_listed(evidence: Evidence, given: float) -> Outcome:
    """What is not in the registry meets block_all."""
    return status(evidence, given, "not-listed")


@answer(points=1, needs=("predicted",))
def whose_certificate(evidence: Evidence, given: float) -> Outcome:
    """Encrypted is not verified."""
    return status(evidence, given, "whose-certificate")


@answer(points=1, needs=("diagnosis",))
def hop(evidence: Evidence, given: str) -> Outcome:
    """The last proxy on the way out that logged the visits; the answer is not given away."""
    ids = {item.request_id for item in evidence.probe("diagnosis")}
    wrote = {
        name
        for line in evidence.access_log
        if line.get("request_id") in ids
        for name in WAY_OUT
        if str(line.get("pod", "")).startswith(name)
    }
    if not wrote:
        return ungradable("nobody wrote a line about these visits")
    if given == max(wrote, key=WAY_OUT.index):
        return passed(f"{given} wrote the last line.")
    return failed("Another one comes later on the way.", help="Look into diagnosis/log.txt.")


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
