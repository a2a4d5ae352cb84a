"""How the answers of lab 13 are judged: each by what the run measured."""

from __future__ import annotations

from grader.checks import answer
from grader.evidence.answered import diagnosed, same
from grader.evidence.record import Evidence
from grader.verdict import Outcome, failed, passed, ungradable


@answer(points=1, needs=("predicted",))
def status_of_a_mistake(evidence: Evidence, given: str) -> Outcome:
    """A filter that fails lets nobody through."""
    status = evidence.notes["predicted"]["mistake"]
    return same(given, str(status), f"it was answered {status}.")


@answer(points=1, needs=("predicted",))
def marked_answers(evidence: Evidence, given: float) -> Outcome:
    """The hook of answers sees the filter's own, too."""
    count = evidence.notes["predicted"]["marked"]
    return same(given, float(count), f"{count} of 10 answers carried the mark.")


@answer(points=1, needs=("predicted",))
def open_by_mistake(evidence: Evidence, given: float) -> Outcome:
    """A path that only begins like the open one."""
    through = evidence.notes["predicted"]["through"]
    own = evidence.parameters["open"]
    wrong = [path for path in through if path != own and not path.startswith(own + "/")]
    return same(given, float(len(wrong)), f"let through: {', '.join(through)}.")


@answer(points=1, needs=("diagnosis",))
def who_answered(evidence: Evidence, given: str) -> Outcome:
    """The last sidecar on the way that logged an error; the answer is not given away."""
    ids = {item.request_id for item in evidence.probe("diagnosis")}
    pods = {
        str(line.get("pod"))
        for line in evidence.access_log
        if line.get("request_id") in ids and int(line.get("response_code", 0)) >= 400
    }
    apps = {evidence.pods.get(pod, {}).get("app") for pod in pods}
    truth = "recommendation" if "recommendation" in apps else "preference"
    if truth not in apps:
        return ungradable("no sidecar logged an error")
    if given == truth:
        return passed(f"It was the sidecar of {truth}.")
    return failed("It was another one.", help="Read diagnosis/log.txt from the gateway inwards.")


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
