"""Lab 1's probes and checks: a canary release, judged by who answered.

First the student's configuration as it is (``share``), then their subsets one by one
(``subsets``), then their subsets while the grader moves the weights (``move``).  What the student
had to predict is measured on configurations of the grader's own (``predicted``).
"""

from __future__ import annotations

import time
from typing import Any

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.sequential import Decision, SequentialTest
from grader.evidence.traffic import percent, refused, repaired, split, too_many_lost
from grader.evidence.walk import Walk
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

VERSIONS = ("v1", "v2")
PINNED = 40
"""Requests to a pinned subset: one wrong pod among two would stay unseen once in 2^40 runs."""

SEEN = 200
"""So many requests before "none": a tenth of the traffic hides from them once in 10^9 runs."""

REFUSED = 400
"""A share that is refused is measured on: whose numbers does it fit, if not one's own?"""

STAGES = (0, 10, 50, 100)
STAGE_REQUESTS = 25
THINK = 0.08
"""Seconds between the requests of a user: load, but not all that the machine can carry."""

PREDICTED = 300

RULE = """\
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {{name: grader-recommendation, namespace: tutorial}}
spec:
  host: recommendation
  subsets:
    - name: v1
      labels: {{version: v1}}
    - name: v2
      labels: {{version: {label}}}
---
"""
ROUTE = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: grader-recommendation, namespace: tutorial}}
spec:
  hosts: [recommendation]
  http:
    - route:
        - destination: {{host: recommendation, subset: v1}}
          weight: {v1}
        - destination: {{host: recommendation, subset: v2}}
          weight: {v2}
"""
PIN = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: grader-recommendation, namespace: tutorial}}
spec:
  hosts: [recommendation]
  http:
    - route:
        - destination: {{host: recommendation, subset: {subset}}}
"""


def sequential(parameters: dict[str, Any]) -> SequentialTest:
    """The test of this run's share."""
    wrong = tuple(share / 100 for share in parameters["alternatives"])
    return SequentialTest(parameters["share"] / 100, wrong)


def outcomes(seen: tuple[Observation, ...]) -> list[bool]:
    """For each request that a version answered, whether it was v2."""
    return [item.version == "v2" for item in seen if item.version]


def walks(evidence: Evidence) -> dict[str, Walk]:
    """What the feedback draws."""
    seen = tuple(outcomes(evidence.probe("share")))
    return {"share-is-right": Walk(sequential(evidence.parameters), seen, "answered by v2")}


def is_virtual_service(resource: Any) -> bool:
    """The grader's own route takes the place of the student's."""
    return bool(resource.kind == "VirtualService")


@probe
def share(lab: Lab) -> None:
    """Counting who answers."""
    test = sequential(lab.parameters)

    def more(seen: tuple[Observation, ...]) -> bool:
        if sum(1 for item in seen if not item.version) >= test.batch:
            return False  # too much goes wrong to speak of a share
        if len(split(seen)) < len(VERSIONS) and len(seen) < SEEN:
            return True
        decision = test.replay(outcomes(seen)).decision
        if decision is Decision.FAIL and len(seen) < REFUSED:
            return True
        return decision is Decision.CONTINUE

    lab.apply_student()
    seen = lab.drive("share", more, requests=test.n_max + 100)
    lab.note("share", split=split(seen))


@probe
def subsets(lab: Lab) -> None:
    """Asking each subset on its own."""
    for name in VERSIONS:
        lab.apply_with(PIN.format(subset=name), without=is_virtual_service)
        lab.note("subsets", **{name: split(lab.count(f"subset-{name}", PINNED))})


@probe
def move(lab: Lab) -> None:
    """Moving the weights 0, 10, 50, 100 under load."""
    lab.apply_with(ROUTE.format(v1=100, v2=0), without=is_virtual_service)
    stream = lab.stream("move", requests=5000, users=4, think_seconds=THINK)
    stages = []
    try:
        for weight in STAGES:
            lab.apply_with(ROUTE.format(v1=100 - weight, v2=weight), without=is_virtual_service)
            since = time.time()
            stream.wait_for(STAGE_REQUESTS, since=since)
            stages.append({"weight": weight, "since": since})
    finally:
        lab.record(stream.stop())
    lab.note("move", stages=stages)


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    hop = lab.hop("preference", "recommendation:8080")
    rest, share = lab.parameters["rest"], lab.parameters["share"]
    lab.apply_text(RULE.format(label="v2") + ROUTE.format(v1=rest, v2=share))
    lab.count("predicted-share", PREDICTED, **hop)
    lab.apply_text(RULE.format(label="v22") + PIN.format(subset="v2"))
    lab.count("predicted-empty", 5, **hop)
    lab.apply_text(PIN.format(subset="v2"))
    lab.count("predicted-order", 5, **hop)


@check(points=2, needs=("subsets",))
def subsets_select_the_right_pods(evidence: Evidence) -> Outcome:
    """Subset v1 reaches pods of version v1 only, subset v2 pods of version v2 only."""
    told = []
    for name in VERSIONS:
        seen = evidence.probe(f"subset-{name}")
        if problem := too_many_lost(seen):
            return ungradable(problem)
        if problem := refused(evidence, seen):
            return failed(
                f"With all traffic sent to subset {name}, {problem}.",
                help=f"Look at the subsets of your DestinationRule: is there one named {name}, and "
                "do its labels stand on a pod? `meshctl status` lists the pods.",
            )
        ids = [item.request_id for item in seen if item.version]
        journal = evidence.journal_of(ids, "recommendation")
        if len(journal) < len(ids):
            return ungradable(
                f"the journals know {len(journal)} of the {len(ids)} requests that were answered"
            )
        reached = sorted(
            {str(line["pod"]) for line in journal} | {item.pod for item in seen} - {""}
        )
        strangers = [pod for pod in reached if evidence.version_of(pod) != name]
        if strangers:
            wrong = sum(1 for line in journal if line["pod"] in strangers)
            return failed(
                f"Subset {name} reached {', '.join(strangers)} with {wrong} of {len(journal)} "
                f"requests; that is version {evidence.version_of(strangers[0])}.",
                help=f"Compare the labels of subset {name} with the labels of the pods.",
            )
        told.append(f"{name}: {len(ids)} of {len(seen)} at {', '.join(reached)}")
    return passed("Each subset reached its own version and no other.", evidence="; ".join(told))


@check(points=2, needs=("share",))
def traffic_shifts(evidence: Evidence) -> Outcome:
    """Both versions answer: v2 gets some of the traffic, v1 still gets some."""
    seen = evidence.probe("share")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    counts = split(seen)
    answered = sum(counts.values())
    line = ", ".join(f"{name} answered {counts.get(name, 0)}" for name in VERSIONS)
    missing = [name for name in VERSIONS if not counts.get(name)]
    if not missing:
        return passed("Both versions answer.", evidence=f"{line} of {answered} requests")
    problem = refused(evidence, seen)
    if not answered:
        return failed(
            f"No version answered: {problem}.",
            help="Does the route name subsets that your DestinationRule defines?",
        )
    problem = problem or repaired(evidence, seen)
    also = f" ({problem})" if problem else ""
    return failed(
        f"{missing[0]} answered none of {answered} requests{also}.",
        help=f"Give the route a destination with subset {missing[0]} and a weight above 0.",
        evidence=f"{line} of {answered} requests",
    )


@check(points=4, needs=("share",))
def share_is_right(evidence: Evidence) -> Outcome:
    """Version v2 answers the share of the requests that the task asks for."""
    seen = evidence.probe("share")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    wanted = evidence.parameters["share"]
    test = sequential(evidence.parameters)
    found = test.replay(outcomes(seen))
    problem = refused(evidence, seen)
    if problem and sum(item.status != 200 for item in seen) > 0.01 * len(seen):
        return failed(
            f"A share cannot be told while requests fail: {problem}.",
            help="Make every request succeed first; `meshctl logs POD` shows the flags.",
        )
    measured = percent(found.hits, found.trials)
    line = f"v2 answered {found.hits} of {found.trials} requests ({measured}); {test.summary}"
    if found.decision is Decision.PASS:
        return passed(
            f"v2 answered {measured} of the requests, asked for: {wanted} %.", evidence=line
        )
    if found.decision is Decision.CONTINUE:
        return ungradable("too few requests were answered to tell the share", evidence=line)
    help_text = "Look at the two weights: they are percentages and total 100."
    told = f"v2 answered {measured} of the requests, the task asks for {wanted} %"
    if hidden := repaired(evidence, seen):
        told += f"; {hidden}"
        help_text = "Find out with `meshctl proxy-config endpoints` which pods the subset has."
    elif found.hits == 0:
        told += ": all traffic stays with v1"
    elif found.hits == found.trials:
        told += ": nothing is left for v1"
    elif found.share >= 1 - max(test.alternatives):
        told += ": the weights look exchanged, v1 got what v2 should get"
        help_text = "Look at which weight stands beside which subset."
    return failed(f"{told}.", help=help_text, evidence=line)


@check(points=2, needs=("move",))
def no_request_fails(evidence: Evidence) -> Outcome:
    """No request fails while the weights move from 0 to 10, 50 and 100 under load."""
    seen = evidence.probe("move")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    counts = split(seen)
    line = ", ".join(f"{name} answered {count}" for name, count in counts.items())
    if problem := refused(evidence, seen):
        return failed(
            f"While the weights moved, {problem}.",
            help="A weight can only be moved to a subset that is defined and has a pod.",
            evidence=line,
        )
    if not all(item.version for item in seen if not item.error):
        odd = next(item for item in seen if not item.version and not item.error)
        return failed(
            f"A request was answered by no version: {odd.body[:100]!r}.",
            help="Does every destination of your files name the host recommendation?",
            evidence=line,
        )
    return passed(f"All {len(seen)} requests were answered with 200.", evidence=line)
