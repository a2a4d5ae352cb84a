"""Lab 6's probes and checks: which pod gets the next request, port by port.

recommendation's pods are scripted: a request may ask one version to hold it until the grader releases
it (``services.scripted``), so a pod is busy for exactly as long as it is looked at.  Requests are sent
as preference's application sends them, one hop, one after another.  Turns and users are counted
exactly; shares are judged by sequential tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from typing import Any

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.sequential import Decision, SequentialTest
from grader.evidence.traffic import percent, refused, split, too_many_lost
from grader.evidence.walk import Walk
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

PODS = 3
BUSY = "v3"
TRIES = 80
"""Requests that look for the busy pod: without luck in (2/3)^80 = 1e-14 of all runs."""

TURNS = 30
"""Turns of three: RANDOM takes turns by luck in (2/9)^10 = 3e-7 of all runs."""

USERS, EACH = 16, 3
"""RANDOM keeps all users by luck in (1/9)^16 = 5e-16 of all runs; a hash puts 16 users onto one pod
in (1/3)^15 = 7e-8."""

PREDICTED = 150
REFUSED = 150
"""A share that is refused is measured on: whose numbers does it fit, if not one's own?"""

LEAST = SequentialTest(1 / 9, (1 / 3, 0.01))
"""Two draws of three pods find the busy one twice in 1 of 9; whoever does not look, in 1 of 3."""

RULE = """\
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {{name: grader-recommendation, namespace: tutorial}}
spec:
  host: recommendation
  trafficPolicy: {{loadBalancer: {{{policy}}}}}
"""


def near_test(parameters: dict[str, Any]) -> SequentialTest:
    """The test of the share that stays in the zone."""
    wrong = tuple(share / 100 for share in parameters["alternatives"])
    return SequentialTest(parameters["share"] / 100, wrong)


def door(lab: Lab, port: int) -> dict[str, Any]:
    """One hop to a port of recommendation, one request after another."""
    return {"users": 1, **lab.hop("preference", f"recommendation:{port}")}


@contextmanager
def busy(lab: Lab, port: int, gate: str) -> Iterator[bool]:
    """Let v3 hold a request that came to it through ``port``; False when none came there."""
    url, script = f"http://recommendation:{port}/", json.dumps({BUSY: [{"hold": gate}]})

    def ask(request_id: str) -> object:
        headers = {"x-script": script, "x-request-id": request_id}
        return lab.testbed.request(url, from_pod="preference", headers=headers)

    def held() -> bool:
        for number in range(TRIES):
            request_id = f"hold-{lab.nonce}-{gate}-{number}"
            answer = pool.submit(ask, request_id)
            while not answer.done():
                lines = lab.testbed.journal(f"recommendation-{BUSY}")
                if any(line.get("request_id") == request_id for line in lines):
                    return True
                try:
                    answer.result(timeout=0.05)
                except NotYet:
                    continue
        return False

    with ThreadPoolExecutor(1) as pool:
        try:
            yield held()
        finally:
            lab.testbed.tell(f"recommendation-{BUSY}", f"/release/{gate}")


def busy_share(lab: Lab, name: str, port: int, test: SequentialTest | None = None) -> None:
    """Count the share that a busy pod gets, as long as ``test`` wants, or ``PREDICTED`` requests."""

    def more(seen: tuple[Observation, ...]) -> bool:
        return test is not None and test.replay(outcomes(seen, (BUSY,))).decision is (
            Decision.CONTINUE
        )

    with busy(lab, port, f"{name}-{lab.nonce}") as held:
        lab.note(name, held=held)
        if held:
            most = test.n_max if test else PREDICTED
            batch = test.batch if test else PREDICTED
            lab.drive(name, more, requests=most, batch=batch, **door(lab, port))


def outcomes(seen: tuple[Observation, ...], versions: tuple[str, ...]) -> list[bool]:
    """For each request that a version answered, whether it was one of these."""
    return [item.version in versions for item in seen if item.version]


def walks(evidence: Evidence) -> dict[str, Walk]:
    """What the feedback draws."""
    return {
        "busy-pods-are-avoided": Walk(
            LEAST, tuple(outcomes(evidence.probe("busy"), (BUSY,))), "came to the busy pod"
        ),
        "places-get-their-shares": Walk(
            near_test(evidence.parameters),
            tuple(outcomes(evidence.probe("near"), ("v1", "v2"))),
            "stayed in zone-a",
        ),
    }


@probe
def least(lab: Lab) -> None:
    """Keeping a pod busy, and asking on."""
    lab.apply_student()
    busy_share(lab, "busy", lab.parameters["least"], LEAST)


@probe
def turns(lab: Lab) -> None:
    """Counting turns."""
    seen = lab.count("turns", TURNS, **door(lab, lab.parameters["even"]))
    lab.note("share", split=split(seen))


@probe
def users(lab: Lab) -> None:
    """Coming back as the same user."""
    port, header = lab.parameters["sticky"], lab.parameters["header"]
    pods: dict[str, list[str]] = {}
    for number in range(EACH):
        for user in range(USERS):
            answer = lab.testbed.request(
                f"http://recommendation:{port}/",
                from_pod="preference",
                headers={
                    header: f"user-{user}",
                    "x-request-id": f"user-{lab.nonce}-{user}-{number}",
                },
            )
            found = answer.text.split(" ")[1] if answer.status == 200 else str(answer.status)
            pods.setdefault(f"user-{user}", []).append(found)
    lab.note("users", pods=pods)


@probe
def near(lab: Lab) -> None:
    """Counting who stays in the zone."""
    test = near_test(lab.parameters)

    def more(seen: tuple[Observation, ...]) -> bool:
        decision = test.replay(outcomes(seen, ("v1", "v2"))).decision
        if decision is Decision.FAIL:
            return len(seen) < REFUSED
        return decision is Decision.CONTINUE

    lab.drive("near", more, requests=test.n_max, **door(lab, lab.parameters["near"]))


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    lab.apply_text(RULE.format(policy="simple: ROUND_ROBIN"))
    lab.count("predicted-even", lab.parameters["round"], **door(lab, 8080))
    lab.apply_text(RULE.format(policy="simple: RANDOM"))
    busy_share(lab, "predicted-random", 8080)
    lab.apply_text(RULE.format(policy="simple: LEAST_CONN"))
    busy_share(lab, "predicted-least", 8080)
    header = lab.parameters["header"]
    lab.apply_text(RULE.format(policy=f"consistentHash: {{httpHeaderName: {header}}}"))
    lab.count("predicted-no-key", 60, **door(lab, 8080))


@check(points=3, needs=("least",))
def busy_pods_are_avoided(evidence: Evidence) -> Outcome:
    """At the first port of the task, a pod that is busy gets fewer of the next requests."""
    port = evidence.parameters["least"]
    if not evidence.notes["busy"]["held"]:
        return failed(
            f"v3 got none of {TRIES} requests to port {port}: it is left out, busy or not.",
            help="Of two pods drawn by chance the one with fewer requests under way: which word is it?",
        )
    seen = evidence.probe("busy")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    if bad := refused(evidence, seen):
        return failed(bad, help="Does the rule still lead to pods?")
    found = LEAST.replay(outcomes(seen, (BUSY,)))
    measured = percent(found.hits, found.trials)
    line = f"{found.hits} of {found.trials} came to the busy pod; {LEAST.summary}"
    if found.decision is Decision.PASS:
        return passed(f"The busy pod got {measured} of the next requests.", evidence=line)
    if found.decision is Decision.CONTINUE:
        return ungradable("too few requests were answered to tell the share", evidence=line)
    return failed(
        f"A pod with a request under way got {measured} of the next ones at port {port}.",
        help="A third is what a pod gets when nobody looks. Which of the lecture's three looks?",
        evidence=line,
    )


@check(points=2, needs=("turns",))
def pods_take_turns(evidence: Evidence) -> Outcome:
    """At the second port of the task, of any three requests in a row each pod gets one."""
    seen = evidence.probe("turns")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    if bad := refused(evidence, seen):
        return failed(bad, help="Does the rule still lead to pods?")
    order = [item.version for item in seen]
    counts = ", ".join(f"{name} {count}" for name, count in split(seen).items())
    line = f"in this order: {' '.join(order)}"
    broken = sum(1 for at in range(0, len(order), PODS) if len(set(order[at : at + PODS])) != PODS)
    if broken:
        return failed(
            f"Of {len(order)} requests in a row to port {evidence.parameters['even']}: {counts}; "
            f"{broken} of {len(order) // PODS} rounds left a pod out.",
            help="By chance, numbers are alike after many requests only. Exactly alike is a turn.",
            evidence=line,
        )
    return passed(f"Each pod had its turn: {counts}.", evidence=line)


@check(points=2, needs=("users",))
def users_stay_with_their_pod(evidence: Evidence) -> Outcome:
    """At the third port of the task, each user stays with one pod, and not all with the same."""
    pods: dict[str, list[str]] = evidence.notes["users"]["pods"]
    header, port = evidence.parameters["header"], evidence.parameters["sticky"]
    moved = [user for user, found in pods.items() if len(set(found)) > 1]
    used = {pod for found in pods.values() for pod in found}
    if odd := sorted(used - {"v1", "v2", "v3"}):
        return failed(
            f"Users at port {port} were answered {odd[0]}.", help="Look at the rule's host."
        )
    if moved:
        return failed(
            f"{len(moved)} of {len(pods)} users met more than one pod at port {port}.",
            help=f"consistentHash needs the header that tells users apart: {header}.",
            evidence=f"{moved[0]} met {', '.join(pods[moved[0]])}",
        )
    if len(used) == 1:
        return failed(
            f"All {len(pods)} users are with {used.pop()}: nobody else has work.",
            help="What is the same for all users, and what is each one's own?",
        )
    return passed(f"{len(pods)} users stay where they are, on {len(used)} pods.")


@check(points=3, needs=("near",))
def places_get_their_shares(evidence: Evidence) -> Outcome:
    """At the fourth port of the task, as many requests stay in the zone as the task asks for."""
    seen = evidence.probe("near")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    if bad := refused(evidence, seen):
        return failed(bad, help="Do the places in the rule exist?")
    test = near_test(evidence.parameters)
    found = test.replay(outcomes(seen, ("v1", "v2")))
    measured, wanted = percent(found.hits, found.trials), evidence.parameters["share"]
    line = f"{found.hits} of {found.trials} stayed in zone-a; {test.summary}"
    if found.decision is Decision.PASS:
        return passed(f"{measured} stayed in zone-a, asked for: {wanted} %.", evidence=line)
    if found.decision is Decision.CONTINUE:
        return ungradable("too few requests were answered to tell the share", evidence=line)
    help_text = "localityLbSetting.distribute has shares: from where, to where, how many percent."
    if 0.6 < found.share < 0.73:
        help_text = (
            "Two thirds is what two of three pods get when places do not count. " + help_text
        )
    return failed(
        f"{measured} stayed in zone-a, the task asks for {wanted} %.", help=help_text, evidence=line
    )
