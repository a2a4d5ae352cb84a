"""Lab 7's probes and checks: how many are let in, and who is left out.

recommendation's two pods are scripted: a request may ask to be held until the grader releases it, or
to be answered 500 by one of them (``services.scripted``).  So nothing is left to chance: requests come
one after another, and each is under way, waiting or refused before the next one comes.  The default
retries of the lab's release do not count a 500.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from grader.checks import check, probe
from grader.collect import Lab
from grader.crowd import MOST, crowd_of, until
from grader.evidence.record import Evidence
from grader.evidence.traffic import too_many_lost
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

EJECTED = (
    r"cluster\.outbound\|8080\|[^|]*\|recommendation\..*\.outlier_detection\.ejections_active$"
)
AFTER = 12
EARLY = 0.05
"""Clocks and timers of two processes differ by so much at most."""

SLACK = 14.0
"""Seconds that a busy machine, or a longer look-out than the task's, may add to a pod's return."""

RULE = """\
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {{name: grader-recommendation, namespace: tutorial}}
spec:
  host: recommendation
  trafficPolicy: {{{policy}}}
"""


def sick(lab: Lab, versions: tuple[str, ...]) -> dict[str, Any]:
    """One hop to recommendation, one request after another, whose pods ``versions`` answer 500."""
    script = json.dumps({version: [{"status": 500}] for version in versions})
    headers = {"x-script": script}
    return {"users": 1, **lab.hop("preference", "recommendation:8080", headers)}


@probe
def crowd(lab: Lab) -> None:
    """Sending more requests than may be under way."""
    lab.testbed.apply(())
    lab.apply_student()
    lab.note("crowd", **crowd_of(lab, "crowd", MOST))


@probe
def sickness(lab: Lab) -> None:
    """Making v2 sick, and well again."""
    wanted = lab.parameters["errors"]
    hop = {**sick(lab, ("v2",)), "think_seconds": 0.05}

    def more(seen: tuple[Observation, ...]) -> bool:
        return sum(1 for item in seen if item.status == 500) < wanted

    seen = lab.drive("sick", more, requests=2 * wanted + 6, batch=1, **hop)
    with ThreadPoolExecutor(1) as threads:  # an ejection is made beside the traffic: look for it
        until(
            lambda: any(lab.testbed.stats("preference", EJECTED).values()),
            threads.submit(lambda: None) if len(seen) == 2 * wanted + 6 else Future(),
            5,
        )
    lab.count("left-out", AFTER, **hop)
    errors = [item for item in lab.observations if item.probe in ("sick", "left-out")]
    since = max((item.start + item.seconds for item in errors if item.status == 500), default=0.0)
    last = since + lab.parameters["base"] + SLACK

    def back(seen: tuple[Observation, ...]) -> bool:
        return seen[-1].version != "v2" and seen[-1].start < last

    well = {"users": 1, "think_seconds": 0.1, **lab.hop("preference", "recommendation:8080")}
    lab.drive("back", back, requests=600, batch=2, **well)
    lab.note("sickness", since=since)


@probe
def epidemic(lab: Lab) -> None:
    """Making both sick."""
    lab.testbed.apply(())
    lab.apply_student()
    hop = {**sick(lab, ("v1", "v2")), "think_seconds": 0.02}
    lab.count("both-sick", 2 * lab.parameters["errors"] + AFTER, **hop)


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    own = lab.parameters
    limits = f"tcp: {{maxConnections: {own['connections']}}}, "
    limits += f"http: {{http1MaxPendingRequests: {own['pending']}}}"
    lab.testbed.apply(())
    lab.apply_text(RULE.format(policy=f"connectionPool: {{{limits}}}"))
    lab.note("predicted", pool=crowd_of(lab, "predicted", own["many"]))
    slide = "consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 120s, maxEjectionPercent: 100"
    lab.apply_text(RULE.format(policy=f"outlierDetection: {{{slide}}}"))
    lab.count("predicted-both", 6, think_seconds=0.1, **sick(lab, ("v1", "v2")))
    lab.count("predicted-none-left", 4, **lab.hop("preference", "recommendation:8080"))
    lab.testbed.apply(())
    lab.apply_text(RULE.format(policy="outlierDetection: {consecutive5xxErrors: 1}"))
    lab.count("predicted-ten-percent", 20, **sick(lab, ("v2",)))


def told(evidence: Evidence) -> str:
    """What became of the crowd."""
    found = evidence.notes["crowd"]
    line = f"{found['served']} under way, {found['waiting']} waiting, {found['refused']} refused"
    return line + (f", {found['other']} lost" if found["other"] else "")


@check(points=2, needs=("crowd",))
def so_many_are_under_way(evidence: Evidence) -> Outcome:
    """As many requests are with recommendation at a time as the task allows."""
    found, wanted = evidence.notes["crowd"], evidence.parameters["connections"]
    if found["other"]:
        return ungradable("a held request was lost", evidence=told(evidence))
    if found["served"] != wanted:
        many = f"{found['served']}" if found["refused"] or found["waiting"] else "all"
        return failed(
            f"Of requests that are not answered, {many} reached recommendation, the task allows "
            f"{wanted}.",
            help="HTTP/1.1 has one request at a time on a connection. Which field counts connections, "
            "and for which routes is your policy in force?",
            evidence=told(evidence),
        )
    return passed(f"{wanted} requests were under way at a time.", evidence=told(evidence))


@check(points=2, needs=("crowd",))
def so_many_wait(evidence: Evidence) -> Outcome:
    """As many more wait as the task allows, and the next is refused at once."""
    found, wanted = evidence.notes["crowd"], evidence.parameters["pending"]
    if found["other"]:
        return ungradable("a held request was lost", evidence=told(evidence))
    if found["waiting"] != wanted or not found["refused"]:
        what = "" if found["refused"] else ", and none was refused"
        return failed(
            f"{found['waiting']} requests waited{what}; the task allows {wanted}.",
            help="What waits for a connection is pending. http2MaxRequests counts something else.",
            evidence=told(evidence),
        )
    return passed(f"{wanted} waited, the next was refused at once.", evidence=told(evidence))


@check(points=3, needs=("sickness",))
def a_sick_pod_is_left_out(evidence: Evidence) -> Outcome:
    """A pod is left out after as many errors in a row as the task says, no more and no fewer."""
    before, after = evidence.probe("sick"), evidence.probe("left-out")
    if problem := too_many_lost([*before, *after]):
        return ungradable(problem)
    wanted = evidence.parameters["errors"]
    bad = sum(1 for item in before if item.status == 500)
    late = sum(1 for item in after if item.status == 500)
    other = Counter(item.status for item in [*before, *after] if item.status not in (200, 500))
    line = f"{bad} of {len(before)} answered 500, then {late} of {len(after)}"
    if other:
        return failed(
            f"{sum(other.values())} requests were answered {next(iter(other))}, though v1 is well.",
            help="Who is left out when v2 is sick? Does the pool let one request through?",
            evidence=line,
        )
    if late:
        return failed(
            f"v2 was asked on after {wanted} errors in a row.",
            help="Three things let a sick pod in: a field that this release ignores, a number that is "
            "too high, or a maxEjectionPercent that one of two pods is more than.",
            evidence=line,
        )
    if bad < wanted:
        return failed(
            f"v2 was left out after {bad} errors, the task says {wanted}.",
            help="Which number counts the errors in a row?",
            evidence=line,
        )
    return passed(f"v2 was left out after {wanted} errors.", evidence=line)


@check(points=2, needs=("sickness",))
def it_comes_back(evidence: Evidence) -> Outcome:
    """It comes back after as many seconds as the task says."""
    seen, base = evidence.probe("back"), evidence.parameters["base"]
    since = evidence.notes["sickness"]["since"]
    if problem := too_many_lost(seen):
        return ungradable(problem)
    if not since or any(item.status == 500 for item in evidence.probe("left-out")):
        return failed("No pod was left out, so none came back.", help="Mend the check before.")
    times = [item.start + item.seconds - since for item in seen if item.version == "v2"]
    if not times:
        return failed(
            f"v2 was not back after {seen[-1].start - since:.0f} s, the task says {base} s.",
            help="Which field is the time for which a pod is left out, and how often does somebody look?",
        )
    if times[0] < base - EARLY:
        return failed(
            f"v2 was back after {times[0]:.1f} s, the task says {base} s.",
            help="Look at baseEjectionTime.",
        )
    return passed(
        f"v2 came back after {times[0]:.1f} s, {base} s and the time until somebody looks."
    )


@check(points=1, needs=("epidemic",))
def half_of_them_stay(evidence: Evidence) -> Outcome:
    """When both pods are sick, one of them is left out, and the other is asked on."""
    seen = evidence.probe("both-sick")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    nobody = sum(1 for item in seen if item.status == 503)
    if nobody:
        return failed(
            f"{nobody} of {len(seen)} requests found no pod to ask, though both answer.",
            help="All are left out. maxEjectionPercent bounds it.",
        )
    ids = [item.request_id for item in seen[-6:]]
    pods = {str(line.get("pod")) for line in evidence.journal_of(ids, "recommendation")}
    if len(pods) > 1:
        return failed(
            "Both sick pods are asked on and on.",
            help="One of two pods is 50 %: may that many be left out?",
        )
    return passed("One of the two was left out, the other was asked on.")
