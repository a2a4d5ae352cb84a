"""Lab 14's probes and checks: what the repaired slides do.

recommendation's share is judged by the sequential test of lab 1; serviceb and servicec answer as
each request asks them to (``services.scripted``, header ``x-script``) and write every try into
their journals, so tries, copies and errors are counted exactly.  What the slides do as printed
(``printed``) is measured on texts of the grader's own, in the era that the question names.
"""

from __future__ import annotations

import json
from typing import Any

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.sequential import Decision, SequentialTest
from grader.evidence.traffic import flagged, percent, refused, split, too_many_lost
from grader.evidence.walk import Walk
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

REFUSED = 200
"""A share that is refused is measured on: whose numbers does it fit, if not one's own?"""

COPIES = 20
COUNT = 4
SICK, AFTER = 40, 8
"""At most so many requests one after another until the sick pod is ejected, and so many after it.
Round robin alternates; a random balancer sends it fewer than eight of 40 once in 30 000 runs."""

EJECTED = r"servicec.*outlier_detection\.ejections_active$"

SLACK = 2.0
"""Seconds that a busy machine may add to a timeout."""

EARLY = 0.05
"""Clocks and timers of two processes differ by so much at most."""

VIRTUAL_SERVICE = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: serviceb, namespace: tutorial}}
spec:
  hosts: [serviceb]
  http:
    - route: [{{destination: {{host: serviceb{subset}}}}}]
"""
OUTLIERS = """\
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {{name: servicec, namespace: tutorial}}
spec:
  host: servicec
  trafficPolicy:
    loadBalancer: {{simple: ROUND_ROBIN}}
    outlierDetection:
      baseEjectionTime: 20s
      consecutiveErrors: {errors}
      interval: 10s
      maxEjectionPercent: 100
"""


def sequential(parameters: dict[str, Any]) -> SequentialTest:
    """The test of recommendation's share."""
    wrong = tuple(share / 100 for share in parameters["alternatives"])
    return SequentialTest(parameters["share"] / 100, wrong)


def outcomes(seen: tuple[Observation, ...]) -> list[bool]:
    """For each request that a version answered, whether it was v2."""
    return [item.version == "v2" for item in seen if item.version]


def walks(evidence: Evidence) -> dict[str, Walk]:
    """What the feedback draws."""
    seen = tuple(outcomes(evidence.probe("share")))
    return {"the-canary": Walk(sequential(evidence.parameters), seen, "answered by v2")}


def ask(lab: Lab, name: str, host: str, script: object, count: int = COUNT, **more: Any) -> None:
    """Send ``count`` requests as preference's application, each brings its own script."""
    headers = {"x-script": json.dumps(script)}
    lab.count(name, count, **{"users": count, **lab.hop("preference", host, headers), **more})


def sicken(lab: Lab, name: str) -> None:
    """Ask servicec, whose v2 answers 500, until a pod is ejected, and some times more.

    An ejection takes force a moment after the error that caused it (Envoy's main thread decides);
    so after each request the sidecar is asked whether it has ejected somebody.
    """

    def more(seen: tuple[Observation, ...]) -> bool:
        return not any(lab.testbed.stats("preference", EJECTED).values())

    headers = {"x-script": json.dumps({"v2": [{"status": 500}]})}
    hop = lab.hop("preference", "servicec:8080", headers)
    lab.drive(name, more, requests=SICK, batch=1, users=1, **hop)
    lab.count(f"{name}-after", AFTER, users=1, **hop)


@probe
def share(lab: Lab) -> None:
    """Counting who answers for recommendation."""
    test = sequential(lab.parameters)

    def more(seen: tuple[Observation, ...]) -> bool:
        if sum(1 for item in seen if not item.version) >= test.batch:
            return False  # too much goes wrong to speak of a share
        decision = test.replay(outcomes(seen)).decision
        return decision is Decision.CONTINUE or (decision is Decision.FAIL and len(seen) < REFUSED)

    lab.apply_text(
        VIRTUAL_SERVICE.format(subset="")
    )  # nothing is left of a run before: no ejection
    lab.apply_student()
    hop = lab.hop("preference", "recommendation:8080")
    lab.note("share", split=split(lab.drive("share", more, requests=test.n_max + 100, **hop)))


@probe
def serviceb(lab: Lab) -> None:
    """Asking serviceb: well, failing, slow."""
    timeout = lab.parameters["timeout"]
    ask(lab, "b-well", "serviceb:8080", [{}], COPIES, users=8)
    lab.testbed.access_log()  # returns when no request is under way: all copies have arrived
    ask(lab, "b-fails", "serviceb:8080", [{"status": 503}], 2)
    ask(lab, "b-slow-once", "serviceb:8080", [{"delay": timeout + 2}, {}])
    ask(lab, "b-slow", "serviceb:8080", [{"delay": timeout + 5}], give_up=timeout + 4)


@probe
def servicec(lab: Lab) -> None:
    """Making a pod of servicec answer 500."""
    sicken(lab, "c-sick")


@probe
def printed(lab: Lab) -> None:
    """Measuring what the slides do as printed."""
    lab.apply_text(VIRTUAL_SERVICE.format(subset=", subset: v1"))
    ask(lab, "printed-route", "serviceb:8080", [{}])
    for name, release in (("then", "istio-1.0"), ("now", "istio-1.9")):
        lab.apply_text(VIRTUAL_SERVICE.format(subset=""), era=release)
        ask(lab, f"printed-retries-{name}", "serviceb:8080", [{"status": 503}], 1)
    lab.apply_text(OUTLIERS.format(errors=lab.parameters["errors"]))
    sicken(lab, "printed-errors")


def told(evidence: Evidence, name: str) -> str:
    """One line of evidence: statuses, and which sidecar said what."""
    seen = evidence.probe(name)
    statuses = ", ".join(sorted({str(item.status or "no answer") for item in seen}))
    said, _ = flagged(evidence, seen)
    return f"{len(seen)} requests: {statuses}" + (f"; {said}" if said else "")


def versions(evidence: Evidence, name: str, app: str) -> dict[str, list[str]]:
    """The request ids that each version of ``app`` wrote down, by version."""
    ids = [item.request_id for item in evidence.probe(name)]
    found: dict[str, list[str]] = {"v1": [], "v2": []}
    for line in evidence.journal_of(ids, app):
        found[evidence.version_of(str(line["pod"]))].append(str(line["request_id"]))
    return found


@check(points=3, needs=("share",))
def the_canary(evidence: Evidence) -> Outcome:
    """Version v2 of recommendation answers the share of the requests that the task asks for."""
    seen = evidence.probe("share")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    wanted, test = evidence.parameters["share"], sequential(evidence.parameters)
    if problem := refused(evidence, seen):
        return failed(
            f"{problem}.", help="Does a DestinationRule define the subsets that the route names?"
        )
    found = test.replay(outcomes(seen))
    measured = percent(found.hits, found.trials)
    line = f"v2 answered {found.hits} of {found.trials} requests ({measured}); {test.summary}"
    if found.decision is Decision.CONTINUE:
        return ungradable("too few requests were answered to tell the share", evidence=line)
    if found.decision is Decision.PASS:
        return passed(f"v2 answered {measured}, asked for: {wanted} %.", evidence=line)
    return failed(
        f"v2 answered {measured} of the requests, the task asks for {wanted} %.",
        help="`weight` stands beside `destination`, in the same item of `route`.",
        evidence=line,
    )


@check(points=2, needs=("serviceb",))
def the_dark_launch(evidence: Evidence) -> Outcome:
    """Version v1 of serviceb answers every request, and v2 gets a copy of each."""
    seen = evidence.probe("b-well")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    limit = evidence.parameters["timeout"] - EARLY
    if any(item.status == 504 and item.seconds >= limit for item in seen):
        # serviceb answers these at once; a timeout that is too short ends them sooner
        return ungradable("the task's timeout ended requests that wait for nothing: a busy machine")
    if problem := refused(evidence, seen):
        return failed(
            f"{problem}.", help="A slide shows one object. Which other one does it need to work?"
        )
    found = versions(evidence, "b-well", "serviceb")
    ids = sorted(item.request_id for item in seen)
    line = f"{len(ids)} requests: v1 handled {len(found['v1'])}, v2 {len(found['v2'])}"
    if sorted(set(found["v1"])) != ids:  # a try that a busy machine makes slow comes twice
        return failed(
            f"v1 handled {len(set(found['v1']))} of {len(ids)} requests.",
            help="The route leads to v1 alone.",
            evidence=line,
        )
    shadows = {
        str(each["request_id"])
        for each in evidence.journal_of(ids, "serviceb")
        if "-shadow" in str(each.get("headers", {}).get("host", ""))
    }
    if sorted(set(found["v2"])) == ids and len(shadows) == len(ids):
        return passed("v1 answered every request, v2 got a copy of each.", evidence=line)
    return failed(
        f"v2 got a copy of {len(shadows)} of {len(ids)} requests.",
        help="`mirror` stands beside `route`, and names a subset that exists.",
        evidence=line,
    )


@check(points=2, needs=("serviceb",))
def failures_are_tried_again(evidence: Evidence) -> Outcome:
    """A failing GET to serviceb is tried as often as the task says, and a slow try is cut."""
    fails, slow = evidence.probe("b-fails"), evidence.probe("b-slow-once")
    if problem := too_many_lost(fails) or too_many_lost(slow):
        return ungradable(problem)
    wanted = evidence.parameters["tries"]
    count = len(versions(evidence, "b-fails", "serviceb")["v1"]) / len(fails)
    limit = evidence.parameters["timeout"] - EARLY
    if count < wanted and any(item.status == 504 and item.seconds >= limit for item in fails):
        return ungradable(f"the timeout ended a GET after {count:g} tries: the machine is too busy")
    if count != wanted:
        return failed(
            f"A GET that always fails reached serviceb v1 {count:g} times, asked for: {wanted}.",
            help="`retries` stands beside `route`; without it there are the release's default ones. "
            "attempts counts the further tries.",
            evidence=told(evidence, "b-fails"),
        )
    line = told(evidence, "b-slow-once")
    tried = len(versions(evidence, "b-slow-once", "serviceb")["v1"])
    if tried > 2 * len(slow) and any(item.status == 504 for item in slow):
        return ungradable("second tries were too slow as well: the machine is too busy")
    if any(item.status != 200 for item in slow):
        return failed(
            "A GET whose first try was slow got no answer, though the second would have been quick.",
            help="A try that ran out of time is a reset. Which word of retryOn counts it?",
            evidence=line,
        )
    if min(item.seconds for item in slow) < 0.5 - EARLY:
        return failed("A try was cut before 500 ms.", help="Look at perTryTimeout.", evidence=line)
    return passed(f"A failing GET is tried {wanted} times, a slow try is cut.", evidence=line)


def used_up(evidence: Evidence, name: str) -> bool:
    """Whether a sidecar gave up on a request because no try was left (flag URX)."""
    ids = {item.request_id for item in evidence.probe(name)}
    return any(
        line.get("request_id") in ids and "URX" in str(line.get("response_flags", "")).split(",")
        for line in evidence.access_log
    )


@check(points=2, needs=("serviceb",))
def nobody_waits_longer(evidence: Evidence) -> Outcome:
    """A GET to serviceb that gets no answer ends with 504 when the task's time is over."""
    seen, wanted = evidence.probe("b-slow"), evidence.parameters["timeout"]
    if problem := too_many_lost(seen):
        return ungradable(problem)
    line = told(evidence, "b-slow")
    if any(item.slow for item in seen):
        return failed(
            f"There was no answer after {wanted + 4} s.",
            help="`timeout` stands beside `route`: in `destination` nobody reads it.",
            evidence=line,
        )
    quickest = min(item.seconds for item in seen)
    if used_up(evidence, "b-slow"):
        return failed(
            f"A GET ended after {quickest:.1f} s because its tries were used up, not because the time was over.",
            help="`timeout` bounds all tries together; without it each try has its own limit only.",
            evidence=line,
        )
    if all(item.status == 504 for item in seen) and wanted - EARLY <= quickest < wanted + SLACK:
        return passed(f"Everything ends after {wanted} s.", evidence=line)
    return failed(
        f"A GET ended with {seen[0].status} after {quickest:.1f} s, asked for: 504 after {wanted} s.",
        help="`timeout` bounds all tries together. Did another limit end this one?",
        evidence=line,
    )


@check(points=3, needs=("servicec",))
def the_sick_pod_is_ejected(evidence: Evidence) -> Outcome:
    """A pod of servicec gets no more requests after as many errors in a row as the task says."""
    seen, wanted = evidence.probe("c-sick"), evidence.parameters["errors"]
    after = evidence.probe("c-sick-after")
    if problem := too_many_lost(seen) or too_many_lost(after):
        return ungradable(problem)
    errors = sum(1 for item in seen if item.status == 500)
    others = sum(1 for item in seen if item.status not in (200, 500))
    line = f"{len(seen)} requests one after another: {errors} x 500, {others} other failures"
    if others:
        return failed(
            f"{others} requests failed in another way.",
            help="Has your configuration more than an outlier detection?",
            evidence=line,
        )
    late = sum(1 for item in after if item.status != 200)
    line += f"; then {late} failures of {len(after)}"
    if errors == wanted and not late:
        return passed(f"The sick pod was ejected after {errors} errors.", evidence=line)
    return failed(
        f"The sick pod gave {errors} errors, asked for: ejected after {wanted}.",
        help="`meshctl analyze` says which release reads which field of outlierDetection, and the "
        "sidecar's statistics (`meshctl proxy-config clusters preference`) what is in force.",
        evidence=line,
    )
