"""Lab 3's probes and checks: injected faults, judged at the hop where they belong.

Requests are sent as preference's application sends them, one hop: a delayed request at the gateway
would occupy a thread of every application before it, and a 503 of preference would be tried again
by its caller.  A request counts as delayed when the client has waited ``THRESHOLD`` seconds and
then gives up; some are waited out to the end, which proves the delay's length.
"""

from __future__ import annotations

from typing import Any

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.sequential import Decision, SequentialTest
from grader.evidence.traffic import percent, split, too_many_lost
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

THRESHOLD = 1.5
"""Seconds: far below the delay, far above what a hop takes on a busy laptop."""

REFUSED = 150
"""A share that is refused is measured on: whose numbers does it fit, if not one's own?"""

WAITED_OUT = 8
"""So many delayed requests are expected among those that are waited out."""

TOO_LONG = 12.0
SLACK = 3.0
"""Seconds that a busy machine may add to a delay."""

UNTOUCHED = 20
"""Requests at the hop before: a fault of 40 % would stay unseen once in 27 000 runs."""

ABORTED = "fault filter abort"
FAULTS = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: grader-recommendation, namespace: tutorial}}
spec:
  hosts: [recommendation]
  http:
    - fault:
        delay: {{fixedDelay: 0.2s, percentage: {{value: {share}}}}}
        abort: {{httpStatus: {status}, percentage: {{value: {aborts}}}}}
      route: [{{destination: {{host: recommendation}}}}]
"""
DELAY_AND_TIMEOUT = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: grader-recommendation, namespace: tutorial}
spec:
  hosts: [recommendation]
  http:
    - fault: {delay: {fixedDelay: 2s, percentage: {value: 100}}}
      route: [{destination: {host: recommendation}}]
      timeout: 1s
"""


def delay_test(parameters: dict[str, Any]) -> SequentialTest:
    """The test of the share of delayed requests."""
    wrong = tuple(share / 100 for share in parameters["alternatives"])
    return SequentialTest(parameters["share"] / 100, wrong)


def abort_test(parameters: dict[str, Any]) -> SequentialTest:
    """The test of the share of aborted requests among those that were not delayed."""
    wrong = tuple(share / 100 for share in parameters["abort_alternatives"])
    return SequentialTest(parameters["aborts"] / 100, wrong)


def aborted(item: Observation) -> bool:
    """Whether a sidecar, not an application, refused the request."""
    return item.body.strip() == ABORTED


@probe
def faults(lab: Lab) -> None:
    """Counting what is delayed and what is aborted."""
    delays, aborts = delay_test(lab.parameters), abort_test(lab.parameters)

    def more(seen: tuple[Observation, ...]) -> bool:
        late = delays.replay(item.slow for item in seen).decision
        fast = [item for item in seen if not item.slow]
        refused = aborts.replay(map(aborted, fast)).decision
        if Decision.FAIL in (late, refused) and len(seen) < REFUSED:
            return True
        if late is Decision.FAIL and len(fast) < len(seen) / 4:
            return False  # hardly any is left that could be aborted
        return Decision.CONTINUE in (late, refused)

    lab.apply_student()
    hop = lab.hop("preference", "recommendation:8080")
    seen = lab.drive("faults", more, requests=8000, batch=100, users=100, give_up=THRESHOLD, **hop)
    lab.note("share", split=split(seen))


@probe
def length(lab: Lab) -> None:
    """Waiting some delays out."""
    count = round(1.5 * WAITED_OUT * 100 / lab.parameters["share"])
    hop = lab.hop("preference", "recommendation:8080")
    lab.count("length", count, users=count, give_up=TOO_LONG, **hop)


@probe
def before(lab: Lab) -> None:
    """Looking at the hop before."""
    hop = lab.hop("customer", "preference:8080")
    lab.count("before", UNTOUCHED, users=UNTOUCHED, path="/health/ready", give_up=THRESHOLD, **hop)


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    hop = lab.hop("preference", "recommendation:8080")
    names = ("share", "status", "aborts")
    lab.apply_text(FAULTS.format(**{name: lab.parameters[name] for name in names}))
    lab.count("predicted-faults", 200, batch=50, users=25, **hop)
    lab.apply_text(DELAY_AND_TIMEOUT)
    lab.count("predicted-timeout", 1, **hop)


def too_slow(evidence: Evidence, seen: tuple[Observation, ...]) -> str:
    """A sentence when requests were late that no sidecar delayed: the machine is overloaded."""
    flags: dict[str, set[str]] = {}
    for line in evidence.access_log:
        said = str(line.get("response_flags", "")).split(",")
        flags.setdefault(str(line.get("request_id")), set()).update(said)
    late = sum(1 for item in seen if item.slow and "DI" not in flags.get(item.request_id, set()))
    return f"{late} requests were slow without a fault: the machine is too busy" if late > 1 else ""


@check(points=3, needs=("faults",))
def the_right_share_is_delayed(evidence: Evidence) -> Outcome:
    """Of the requests to recommendation, as many are delayed as the task asks for."""
    seen = evidence.probe("faults")
    if problem := too_many_lost(seen) or too_slow(evidence, seen):
        return ungradable(problem)
    test = delay_test(evidence.parameters)
    found = test.replay(item.slow for item in seen)
    measured, wanted = percent(found.hits, found.trials), evidence.parameters["share"]
    line = f"{found.hits} of {found.trials} had no answer after {THRESHOLD} s; {test.summary}"
    if found.decision is Decision.PASS:
        return passed(f"{measured} were delayed, asked for: {wanted} %.", evidence=line)
    if found.decision is Decision.CONTINUE:
        return ungradable("too few requests were answered to tell the share", evidence=line)
    help_text = "`fault` stands beside `route`; a delay needs fixedDelay and percentage.value."
    if not found.hits:
        help_text += " Without a percentage it never happens."
    return failed(
        f"{measured} were delayed, the task asks for {wanted} %.", help=help_text, evidence=line
    )


@check(points=2, needs=("length",))
def the_delay_is_as_long_as_asked_for(evidence: Evidence) -> Outcome:
    """A delayed request waits as many seconds as the task says."""
    seen = evidence.probe("length")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    wanted = evidence.parameters["delay"]
    times = sorted(item.seconds for item in seen if item.slow or item.seconds > THRESHOLD)
    line = f"{len(times)} of {len(seen)} waited: " + ", ".join(f"{each:.2f} s" for each in times)
    if not times:
        return failed(
            f"None of {len(seen)} requests waited longer than {THRESHOLD} s.",
            help="Which unit has your fixedDelay? 7s are seven seconds, 7ms are not.",
        )
    middle = times[len(times) // 2]
    if wanted <= times[0] + 0.05 and middle < wanted + SLACK:
        return passed(f"A delayed request waits {middle:.1f} s.", evidence=line)
    told = f"more than {TOO_LONG:.0f}" if middle >= TOO_LONG else f"{middle:.1f}"
    return failed(
        f"A delayed request waits {told} s, the task asks for {wanted} s.",
        help="Look at fixedDelay.",
        evidence=line,
    )


@check(points=3, needs=("faults",))
def the_right_share_is_aborted(evidence: Evidence) -> Outcome:
    """As many requests are aborted as the task asks for, with its status, before they arrive."""
    seen = evidence.probe("faults")
    if problem := too_many_lost(seen) or too_slow(evidence, seen):
        return ungradable(problem)
    fast = [item for item in seen if not item.slow]
    test = abort_test(evidence.parameters)
    found = test.replay(aborted(item) for item in fast)
    measured, wanted = percent(found.hits, found.trials), evidence.parameters["aborts"]
    line = f"{found.hits} of {found.trials} undelayed requests were aborted; {test.summary}"
    if found.decision is Decision.CONTINUE:
        return failed(
            f"Only {len(fast)} of {len(seen)} requests came through without a delay: too few to "
            "see aborts.",
            help="Mend the delay first.",
            evidence=line,
        )
    if found.decision is Decision.FAIL:
        return failed(
            f"{measured} were aborted, the task asks for {wanted} %.",
            help="An abort needs httpStatus and percentage.value; it stands beside the delay.",
            evidence=line,
        )
    status = evidence.parameters["status"]
    odd = [item for item in fast if aborted(item) and item.status != status]
    if odd:
        return failed(
            f"Aborted requests are answered {odd[0].status}, the task asks for {status}.",
            help="Look at httpStatus.",
            evidence=line,
        )
    ids = [item.request_id for item in fast if aborted(item)]
    if there := evidence.journal_of(ids, "recommendation"):
        return failed(
            f"{len(there)} aborted requests had reached recommendation.",
            help="An abort answers in the caller's sidecar; nothing may arrive.",
            evidence=line,
        )
    return passed(
        f"{measured} were answered {status} before they reached recommendation.", evidence=line
    )


@check(points=2, needs=("faults", "before"))
def nothing_else_is_disturbed(evidence: Evidence) -> Outcome:
    """The hop before is as it was, and what is neither delayed nor aborted is answered."""
    seen, other = evidence.probe("before"), evidence.probe("faults")
    if problem := too_many_lost(seen) or too_many_lost(other):
        return ungradable(problem)
    hit = [item for item in seen if item.slow or item.status != 200]
    if hit and (problem := too_slow(evidence, seen)):
        return ungradable(problem)
    if hit:
        return failed(
            f"{len(hit)} of {len(seen)} requests from customer to preference were disturbed.",
            help="Which host does your VirtualService name? The fault is at the hop to that host.",
        )
    left = [item for item in other if not item.slow and not aborted(item)]
    bad = [item for item in left if item.status != 200]
    if bad:
        return failed(
            f"{len(bad)} of {len(left)} requests without a fault were answered {bad[0].status}.",
            help="Does the route still lead to pods? `meshctl logs PREFERENCE-POD` shows the flags.",
        )
    return passed(
        "The hop before is untouched, and the rest is answered.",
        evidence=f"{len(seen)} requests before, {len(left)} without a fault",
    )
