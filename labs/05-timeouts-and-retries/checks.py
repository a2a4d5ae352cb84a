"""Lab 5's probes and checks: timeouts and retries, counted try by try.

recommendation answers as each request asks it to (``services.scripted``, header ``x-script``), and
writes every try into its journal under the request's id: no statistics, exact counts.  Requests are
sent as preference's application sends them, one hop.  Seconds are compared with lower bounds, and
with an upper bound that a slow machine still meets.
"""

from __future__ import annotations

import json
from typing import Any

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.traffic import flagged, split, too_many_lost
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

COUNT = 5
SLACK = 2.0
"""Seconds that a busy machine may add to a timeout."""

EARLY = 0.05
"""Clocks and timers of two processes differ by so much at most."""

RULE = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: grader-recommendation, namespace: tutorial}}
spec:
  hosts: [recommendation]
  http:
    - route: [{{destination: {{host: recommendation}}}}]
      {more}
"""


def ask(lab: Lab, name: str, script: list[dict[str, Any]], count: int = COUNT, **more: Any) -> None:
    """Send ``count`` requests at once, each of which brings its own script."""
    headers = {"x-script": json.dumps(script)}
    hop = lab.hop("preference", "recommendation:8080", headers)
    lab.count(name, count, users=count, **hop, **more)


@probe
def customers(lab: Lab) -> None:
    """Asking as customers do."""
    lab.apply_student()
    lab.note("share", split=split(lab.count("customers", 20)))


@probe
def failing(lab: Lab) -> None:
    """Failing, at once, in several ways."""
    ask(lab, "recovers", [{"status": 500}, {"status": 502}, {}])
    ask(lab, "fails", [{"status": 500}], count=2)
    ask(lab, "post-fails", [{"status": 503}, {}], method="POST", body="5")


@probe
def slow(lab: Lab) -> None:
    """Being slow: one try, all tries, a POST."""
    timeout = lab.parameters["timeout"]
    ask(lab, "slow-once", [{"delay": timeout + 3}, {}])
    ask(lab, "slow-always", [{"delay": timeout + 5}], give_up=timeout + 4)
    ask(lab, "slow-post", [{"delay": timeout + 5}], method="POST", body="5", give_up=timeout + 4)


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    attempts = lab.parameters["attempts"]
    lab.apply_text(RULE.format(more=f"retries: {{attempts: {attempts}, retryOn: 5xx}}"))
    ask(lab, "predicted-503", [{"status": 503}], count=1)
    lab.apply_text(RULE.format(more="retries: {attempts: 3, perTryTimeout: 2s}"))
    ask(lab, "predicted-slide", [{"delay": 3}], count=1)
    lab.apply_text(RULE.format(more="timeout: 1s\n      retries: {attempts: 0}"))
    ask(lab, "predicted-posts", [{"delay": 2}], count=8, method="POST", body="5")


def tries_of(evidence: Evidence, seen: tuple[Observation, ...]) -> list[int]:
    """How often recommendation got each of the requests."""
    return [len(evidence.journal_of([item.request_id], "recommendation")) for item in seen]


def told(evidence: Evidence, name: str) -> str:
    """Statuses, seconds and tries of a probe in one line."""
    seen = evidence.probe(name)
    counts = tries_of(evidence, seen)
    parts = [
        f"{item.status or 'no answer'} after {item.seconds:.1f} s, {count} tries"
        for item, count in zip(seen, counts, strict=True)
    ]
    flags = flagged(evidence, seen)[0]
    return f"{name}: {'; '.join(parts)}" + (f" ({flags})" if flags else "")


@check(points=2, needs=("failing",))
def a_failed_get_is_tried_again(evidence: Evidence) -> Outcome:
    """A GET that is answered with a 5xx is tried again, and as often as the task says."""
    recovers, fails = evidence.probe("recovers"), evidence.probe("fails")
    if problem := too_many_lost(recovers) or too_many_lost(fails):
        return ungradable(problem)
    if any(item.status != 200 for item in recovers):
        return failed(
            "A GET was given up though recommendation was well again at its third try.",
            help="Which answers count as a failure? That is what retryOn says.",
            evidence=told(evidence, "recovers"),
        )
    wanted = evidence.parameters["tries"]
    counts = tries_of(evidence, fails)
    if set(counts) != {wanted}:
        return failed(
            f"A GET that always fails was tried {counts[0]} times in all, the task asks for {wanted}.",
            help="attempts counts the further tries, the first one is not among them.",
            evidence=told(evidence, "fails"),
        )
    return passed(f"A failing GET is tried {wanted} times.", evidence=told(evidence, "fails"))


@check(points=3, needs=("slow",))
def a_slow_try_is_cut_and_tried_again(evidence: Evidence) -> Outcome:
    """A try that is too slow is cut off after the task's seconds, and the next one may answer."""
    seen = evidence.probe("slow-once")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    line, per_try = told(evidence, "slow-once"), evidence.parameters["per_try"]
    if any(item.status != 200 for item in seen):
        over = all(item.seconds >= evidence.parameters["timeout"] for item in seen)
        return failed(
            "A GET whose first try was slow got no answer, though the second would have been quick.",
            help="The first try had all the time there is. Which limit bounds a try, which the whole?"
            if over
            else "A try that runs out of time is a reset, not a status: does retryOn count it?",
            evidence=line,
        )
    if set(tries_of(evidence, seen)) == {1}:
        return failed("A slow try was waited out.", help="Is there a perTryTimeout?", evidence=line)
    quickest = min(item.seconds for item in seen)
    if not per_try - EARLY <= quickest < per_try + SLACK / 2:
        return failed(
            f"A slow try was cut off after {quickest:.1f} s, the task asks for {per_try} s.",
            help="Look at perTryTimeout.",
            evidence=line,
        )
    return passed(f"A slow try is cut off after {per_try} s.", evidence=line)


@check(points=3, needs=("slow",))
def nobody_waits_longer(evidence: Evidence) -> Outcome:
    """A GET that never gets an answer, and a slow POST, end with 504 when the time is over."""
    wanted = evidence.parameters["timeout"]
    for name in ("slow-always", "slow-post"):
        seen = evidence.probe(name)
        if problem := too_many_lost(seen):
            return ungradable(problem)
        what = "POST" if name == "slow-post" else "GET"
        line = told(evidence, name)
        if waiting := sum(1 for item in seen if item.slow):
            return failed(
                f"{waiting} of {len(seen)} {what}s were still without an answer after {wanted + 4} s.",
                help=f"Has the rule that takes a {what} a timeout, beside its route?",
                evidence=line,
            )
        quickest = min(item.seconds for item in seen)
        if any(item.status != 504 for item in seen) or not (
            wanted - EARLY <= quickest < wanted + SLACK
        ):
            return failed(
                f"A {what} ended with {seen[0].status} after {quickest:.1f} s, asked for: 504 after "
                f"{wanted} s.",
                help="timeout bounds all tries together; which of the limits ended this one?",
                evidence=line,
            )
    return passed(f"Everything ends after {wanted} s.", evidence=told(evidence, "slow-always"))


@check(points=2, needs=("failing", "slow"))
def a_post_is_tried_once(evidence: Evidence) -> Outcome:
    """A POST reaches recommendation once, whether it fails or is slow."""
    for name in ("post-fails", "slow-post"):
        seen = evidence.probe(name)
        if problem := too_many_lost(seen):
            return ungradable(problem)
        if more := [count for count in tries_of(evidence, seen) if count != 1]:
            return failed(
                f"A POST reached recommendation {more[0]} times.",
                help="A rule without retries has the mesh's default ones. attempts: 0 means none.",
                evidence=told(evidence, name),
            )
    return passed("Each POST was sent once.", evidence=told(evidence, "post-fails"))
