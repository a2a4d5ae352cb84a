"""Lab 2's probes and checks: a mirror, judged by what reached each version.

A client cannot see a copy, so the applications' journals are asked: the request ids of the copies
are those of the originals.  ``customers`` come through the gateway; the rest is asked for as
preference's application would, so that exactly one hop is seen.
"""

from __future__ import annotations

from typing import Any

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.sequential import Decision, SequentialTest
from grader.evidence.traffic import percent, refused, split, too_many_lost
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

CUSTOMERS = 30
SICK = 25
"""A tenth of the requests that really went to v2 would stay unseen once in 14 runs, a half never."""

REFUSED = 250
"""A share that is refused is measured on: whose numbers does it fit, if not one's own?"""

MIRROR = """\
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: grader-recommendation, namespace: tutorial}
spec:
  host: recommendation
  subsets:
    - {name: grader-v1, labels: {version: v1}}
    - {name: grader-v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: grader-recommendation, namespace: tutorial}
spec:
  hosts: [recommendation]
  http:
    - route: [{destination: {host: recommendation, subset: grader-v1}}]
      mirror: {host: recommendation, subset: grader-v2}
"""


def sequential(parameters: dict[str, Any]) -> SequentialTest:
    """The test of this run's share of copies."""
    wrong = tuple(share / 100 for share in parameters["alternatives"])
    return SequentialTest(parameters["share"] / 100, wrong)


def recommendations(pods: dict[str, dict[str, str]], version: str) -> set[str]:
    """The names of recommendation's pods of ``version``."""
    return {
        name
        for name, labels in pods.items()
        if labels.get("app") == "recommendation" and labels.get("version") == version
    }


def handled(journal: Any, pods: dict[str, dict[str, str]], version: str) -> set[str]:
    """The ids of the requests that pods of ``version`` of recommendation handled."""
    names = recommendations(pods, version)
    return {str(line["request_id"]) for line in journal if line["pod"] in names}


def reached(evidence: Evidence, version: str) -> set[str]:
    """The same, of a whole run."""
    return handled(evidence.journal, evidence.pods, version)


def shadows(evidence: Evidence, version: str) -> set[str]:
    """The ids of the copies that arrived there: their host says that they are some."""
    names = recommendations(evidence.pods, version)
    return {
        str(line["request_id"])
        for line in evidence.access_log
        if line["pod"] in names and "-shadow" in str(line.get("authority", ""))
    }


@probe
def customers(lab: Lab) -> None:
    """Asking as customers do."""
    lab.apply_student()
    lab.note("share", split=split(lab.count("customers", CUSTOMERS)))


@probe
def copies(lab: Lab) -> None:
    """Counting copies."""
    test = sequential(lab.parameters)
    pods = {pod.name: dict(pod.labels) for pod in lab.testbed.pods()}

    def more(seen: tuple[Observation, ...]) -> bool:
        lab.testbed.access_log()  # returns when no request is under way: all copies have arrived
        there = handled(lab.testbed.journal(), pods, "v2")
        decision = test.replay(item.request_id in there for item in seen).decision
        return decision is Decision.CONTINUE or (decision is Decision.FAIL and len(seen) < REFUSED)

    lab.drive("copies", more, requests=test.n_max, **lab.hop("preference", "recommendation:8080"))


@probe
def sick(lab: Lab) -> None:
    """Making v2 answer 503."""
    lab.testbed.tell("recommendation-v2", "/misbehave")
    try:
        lab.count("sick", SICK, **lab.hop("preference", "recommendation:8080"))
    finally:
        lab.testbed.tell("recommendation-v2", "/behave")


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    hop = lab.hop("preference", "recommendation:8080")
    lab.apply_text(MIRROR)
    before = ratings(lab)
    lab.count("predicted-copies", 30, method="POST", path="/ratings", body="5", **hop)
    lab.testbed.access_log()
    after = ratings(lab)
    lab.note("predicted", ratings={name: after[name] - before[name] for name in after})
    lab.testbed.tell("recommendation-v2", "/misbehave")
    try:
        lab.count("predicted-sick", 30, **hop)
    finally:
        lab.testbed.tell("recommendation-v2", "/behave")


def ratings(lab: Lab) -> dict[str, int]:
    """How many ratings each version has stored."""
    return {
        version: int(lab.testbed.tell(f"recommendation-{version}", "/ratings").text)
        for version in ("v1", "v2")
    }


@check(points=2, needs=("customers",))
def v1_answers_everybody(evidence: Evidence) -> Outcome:
    """Every customer is answered by v1, none by v2."""
    seen = evidence.probe("customers")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    counts = split(seen)
    line = ", ".join(f"{name} answered {count}" for name, count in counts.items())
    if problem := refused(evidence, seen):
        return failed(f"{problem}.", help="`meshctl logs POD` shows the flags.", evidence=line)
    if set(counts) == {"v1"}:
        return passed("v1 answered everybody.", evidence=line)
    return failed(
        f"v2 answered {counts.get('v2', 0)} of {len(seen)} customers.",
        help="A destination of the route gets requests, a mirror gets copies: v2 must be a mirror.",
        evidence=line,
    )


@check(points=3, needs=("copies",))
def v2_gets_copies(evidence: Evidence) -> Outcome:
    """What v2 handles are copies: v1 handles the same requests, and v2 knows them as shadows."""
    seen = evidence.probe("copies")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    ids = {item.request_id for item in seen}
    at_v2, at_v1 = reached(evidence, "v2") & ids, reached(evidence, "v1") & ids
    line = f"{len(ids)} requests, v1 handled {len(at_v1)} of them, v2 {len(at_v2)}"
    if not at_v2 and (twice := shadows(evidence, "v1") & ids):
        return failed(
            f"v2 handled nothing, and v1 handled {len(twice)} requests twice: it gets the copies.",
            help="Which pods has the subset that the mirror names?",
            evidence=line,
        )
    if not at_v2:
        return failed(
            "v2 handled nothing.",
            help="Is there a mirror, and does its subset exist? A mirror to nowhere is silent.",
            evidence=line,
        )
    if alone := at_v2 - at_v1:
        return failed(
            f"{len(alone)} requests reached v2 and not v1: they were sent there, not copied.",
            help="v2 must not be a destination of the route.",
            evidence=line,
        )
    if at_v2 - shadows(evidence, "v2"):
        return failed(
            "v2 handled requests that are no shadows: v1 is the mirror, and v2 the destination.",
            help="Exchange the two: the route's destination answers, the mirror gets the copies.",
            evidence=line,
        )
    return passed("v2 handled copies of requests that v1 answered.", evidence=line)


@check(points=3, needs=("copies",))
def share_of_copies_is_right(evidence: Evidence) -> Outcome:
    """v2 gets a copy of as many requests as the task asks for."""
    seen = evidence.probe("copies")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    test = sequential(evidence.parameters)
    at_v2 = reached(evidence, "v2")
    found = test.replay(item.request_id in at_v2 for item in seen)
    measured = percent(found.hits, found.trials)
    wanted = evidence.parameters["share"]
    line = f"{found.hits} of {found.trials} requests reached v2 ({measured}); {test.summary}"
    if found.decision is Decision.PASS:
        return passed(f"{measured} were copied, asked for: {wanted} %.", evidence=line)
    if found.decision is Decision.CONTINUE:
        return ungradable("too few requests were answered to tell the share", evidence=line)
    if found.hits == found.trials:
        told = "every request was copied: without a percentage a mirror copies all"
    elif not found.hits:
        told = f"no copy of {found.trials} requests reached v2"
    else:
        told = f"{measured} of the requests reached v2"
    return failed(
        f"{told}; the task asks for {wanted} %.".capitalize(),
        help="The percentage stands beside `mirror`, as an object with a `value`.",
        evidence=line,
    )


@check(points=2, needs=("sick",))
def a_sick_v2_hurts_nobody(evidence: Evidence) -> Outcome:
    """While v2 answers 503 to everything, every caller still gets the answer of v1."""
    seen = evidence.probe("sick")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    counts = split(seen)
    line = ", ".join(f"{name} answered {count}" for name, count in counts.items())
    bad = sum(1 for item in seen if item.version != "v1")
    if bad:
        return failed(
            f"{bad} of {len(seen)} callers did not get v1's answer while v2 was sick.",
            help="Nobody may depend on the version that is tried out: only copies may reach it.",
            evidence=line,
        )
    return passed(f"All {len(seen)} callers were answered by v1.", evidence=line)
