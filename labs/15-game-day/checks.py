"""Lab 15's probes and checks: a storm, event by event, and how much of the service was kept.

Each probe is an event for one of the eight fallacies of distributed computing.  It brings the student's
files into force anew, so that no event's ejections or used-up tokens are another's, sends requests that
bring their trouble along (``services.scripted``), and writes down how many of them came out right:
answered as they had to be, before the caller left.  A check compares that level with the starter's
(the baseline) and the best that a mesh can do here (the reference).  The peers that are no friends are
the grader itself, at the port of a pod's sidecar.  Nothing is left to chance, and no time is compared
but the one after which a caller leaves, three seconds after the task's.
"""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any

from grader.checks import check, probe
from grader.collect import Lab
from grader.crowd import MOST, crowd_of, until
from grader.evidence.record import Evidence
from grader.evidence.traffic import split
from grader.peers import peer, peers
from grader.verdict import Outcome, failed, passed, ungradable

from .levels import CALLS, EVENTS, judged, spent
from .rules import ALWAYS_503, PERMISSIVE, PLAIN_ROUTE, SECOND_ADMIN

HUNG = 20
"""Seconds for which a try hangs: longer than any caller of these tasks waits."""

SLACK = 3
"""Seconds that a busy machine may add to a caller's patience."""

SURPLUS = 8
"""Big answers that are asked for beyond what archive gives."""

EJECTED = (
    r"cluster\.outbound\|8080\|[^|]*\|recommendation\..*\.outlier_detection\.ejections_active$"
)
OPENED = r"cluster\.outbound\|8080\|[^|]*\|recommendation\..*\.upstream_cx_total$"

OTHER_STACK = [{"raw": "* OK IMAP4rev1 service ready\r\n"}]
"""What v1 says since it was moved: no HTTP at all."""


# The storm.


def begin(lab: Lab) -> None:
    """Bring the student's files into force as if for the first time."""
    lab.testbed.apply(())
    lab.apply_student()


def ask(
    lab: Lab,
    name: str,
    count: int,
    script: object = None,
    *,
    caller: str = "preference",
    **more: Any,
) -> None:
    """Ask recommendation as ``caller`` does; each request brings ``script`` along."""
    headers = {} if script is None else {"x-script": json.dumps(script)}
    hop = lab.hop(caller, "recommendation:8080", headers)
    lab.count(name, count, **{"users": min(count, 2), **hop, **more})


def lost(times: int) -> dict[str, Any]:
    """A script whose first ``times`` tries are received, and their connections reset."""
    return {"attempts": [*[{"reset": True}] * times, {}]}


def tries_at(lab: Lab, pod: str, name: str) -> int:
    """How many tries of the probe ``name`` the pod has got so far."""
    mine = f"{name}-{lab.nonce}-"
    return sum(1 for line in lab.testbed.journal(pod) if line["request_id"].startswith(mine))


@probe
def loss(lab: Lab) -> None:
    """1. Losing answers."""
    begin(lab)
    for times in range(1, lab.parameters["losses"] + 1):
        ask(lab, f"loss-{times}", 2, lost(times))
    ask(lab, "loss-of-all", 2, {"attempts": [{"reset": True}]})
    begin(lab)
    order = {"method": "POST", "body": "an order"}
    ask(lab, "order-lost", 4, lost(1), **order)
    ask(lab, "order", 2, **order)


@probe
def latency(lab: Lab) -> None:
    """2. Hanging."""
    begin(lab)
    hung, patience = {"delay": HUNG}, lab.parameters["patience"] + SLACK
    ask(lab, "hung-twice", 2, {"attempts": [hung, hung, {}]}, give_up=patience)
    ask(
        lab, "order-hung", 2, {"attempts": [hung]}, give_up=patience, method="POST", body="an order"
    )


@probe
def bandwidth(lab: Lab) -> None:
    """3. Asking for big answers."""
    begin(lab)
    many = lab.parameters["tokens"] + SURPLUS
    lab.count("bandwidth", many, users=2, **lab.hop("preference", "archive:8080"))


@probe
def security(lab: Lab) -> None:
    """4. Coming with no, forged and expired certificates."""
    begin(lab)
    found = {service: peers(lab, service) for service in ("archive", "recommendation")}
    for service in ("customer", "preference"):
        found[service] = {"plain": peer(lab, service, None)}
    lab.note("security", peers=found)
    ask(lab, "neighbour", 2, caller="customer")
    ask(lab, "friend", 6)
    lab.note("share", split=split(lab.count("visits", 6, users=2)))


@probe
def topology(lab: Lab) -> None:
    """5. Taking pods away."""
    begin(lab)
    ask(lab, "all-there", 8)
    for version in ("v1", "v2"):
        lab.testbed.scale(f"recommendation-{version}", 0)
        try:
            ask(lab, f"without-{version}", 8)
        finally:
            lab.testbed.scale(f"recommendation-{version}", 1)


@probe
def administrator(lab: Lab) -> None:
    """6. Finding the rule of another team."""
    lab.testbed.apply(())
    lab.apply_text(SECOND_ADMIN)
    lab.apply_with(SECOND_ADMIN, without=lambda _: False)
    ask(lab, "second-administrator", 10)


@probe
def transport(lab: Lab) -> None:
    """7. Calling often."""

    def opened() -> int:
        return sum(lab.testbed.stats("preference", OPENED).values())

    begin(lab)
    before = opened()
    ask(lab, "calls", CALLS, [{"size": 400}], users=1)
    lab.note("transport", opened=opened() - before)
    ask(lab, "bulk", 1, [{"size": 400 * CALLS}])
    ask(lab, "not-modified", CALLS, [{"status": 304}], users=1)


@probe
def stack(lab: Lab) -> None:
    """8. Moving v1 to another stack."""
    begin(lab)
    wanted = lab.parameters["errors"]

    def until_v1_failed(name: str, times: int) -> int:
        one = lab.hop(
            "preference", "recommendation:8080", {"x-script": json.dumps({"v1": OTHER_STACK})}
        )
        lab.drive(
            name,
            lambda _: tries_at(lab, "recommendation-v1", name) < times,
            requests=2 * times + 6,
            batch=1,
            users=1,
            **one,
        )
        return tries_at(lab, "recommendation-v1", name)

    until_v1_failed("stack-blip", wanted - 1)
    ask(lab, "stack-well", 8, users=1)
    if until_v1_failed("stack-sick", wanted) >= wanted:
        until(lambda: any(lab.testbed.stats("preference", EJECTED).values()), Future(), 5)
    # Long enough for a pod to come back that was left out for a moment only.
    ask(lab, "stack-left-out", 12, {"v1": OTHER_STACK}, users=1, think_seconds=0.2)


@probe
def crowd(lab: Lab) -> None:
    """9. Holding more requests than may be under way."""
    lab.testbed.apply(())
    # A held request must not run into the student's time limits: their pools, the grader's route.
    lab.apply_with(PLAIN_ROUTE, without=lambda each: each.kind == "VirtualService")
    lab.note("crowd", **crowd_of(lab, "crowd", MOST))


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    own = lab.parameters
    lab.testbed.apply(())
    lab.apply_text(ALWAYS_503.format(again=own["again"]))
    lab.count("predicted-visit", 1, users=1, timeout=60)
    lab.apply_text(PLAIN_ROUTE + "---\n" + PERMISSIVE)
    ask(lab, "predicted-items", own["items"], users=1)
    lab.note("predicted", peers=peers(lab, "recommendation"))


# What was kept.


@check(points=1, needs=("loss",))
def lost_answers_are_asked_for_again(evidence: Evidence) -> Outcome:
    """1. The network is reliable? A GET whose answers are lost is sent again, and not for ever."""
    most = evidence.parameters["losses"]
    return judged(
        evidence,
        "loss",
        (*(f"loss-{times}" for times in range(1, most + 1)), "loss-of-all"),
        f"Up to {most} lost answers in a row were made good.",
        "A lost answer is a 503 of the other pod's sidecar. How many further tries are there, and after "
        "which answers?",
    )


@check(points=1, needs=("loss",))
def an_order_is_sent_once(evidence: Evidence) -> Outcome:
    """1. The network is reliable? An order whose answer is lost is not made twice."""
    return judged(
        evidence,
        "orders",
        ("order-lost", "order"),
        "Each order was sent once.",
        "What does a rule do that says nothing about retries? And which rule takes a POST?",
    )


@check(points=1, needs=("latency",))
def nobody_waits_too_long(evidence: Evidence) -> Outcome:
    """2. Latency is zero? Hanging tries are cut, and nobody waits for an answer that does not come."""
    return judged(
        evidence,
        "latency",
        ("hung-twice", "order-hung"),
        f"Nobody waited longer than {evidence.parameters['patience']} s.",
        "One limit is for each try, one for all of them together. Does every rule have what it needs?",
    )


@check(points=1, needs=("bandwidth",))
def big_answers_are_rationed(evidence: Evidence) -> Outcome:
    """3. Bandwidth is infinite? archive gives as many big answers as the task says."""
    return judged(
        evidence,
        "bandwidth",
        ("bandwidth",),
        f"{evidence.parameters['tokens']} big answers, the others were refused with 429.",
        "The bucket of limits.yaml: how many tokens are in it, and how fast do they come back?",
    )


@check(points=1, needs=("security",))
def strangers_are_refused(evidence: Evidence) -> Outcome:
    """4. The network is secure? Strangers and forgers get no answer, friends do."""
    return judged(
        evidence,
        "security",
        ("neighbour", "friend", "visits"),
        "No certificate, a forged one, an expired one, the wrong one: refused.",
        "A sidecar checks certificates that it is shown. What if none is shown, and what if it is a "
        "good one of somebody else?",
    )


@check(points=1, needs=("topology",))
def pods_come_and_go(evidence: Evidence) -> Outcome:
    """5. Topology doesn't change? A pod that is away is not missed."""
    return judged(
        evidence,
        "topology",
        ("all-there", "without-v1", "without-v2"),
        "Each pod was away for a while, and nobody noticed.",
        "A route to a subset is a route to its pods alone.",
    )


@check(points=1, needs=("administrator",))
def others_do_not_decide(evidence: Evidence) -> Outcome:
    """6. There is one administrator? A rule of another namespace does not change your callers' way."""
    return judged(
        evidence,
        "administrator",
        ("second-administrator",),
        "The rule of the other team changed nothing here.",
        "Of two rules for one host the older one counts. From which namespaces do your sidecars take "
        "rules at all?",
    )


@check(points=1, needs=("transport",))
def connections_are_used_again(evidence: Evidence) -> Outcome:
    """7. Transport cost is zero? Chatty calls share their connections."""
    found = judged(
        evidence,
        "transport",
        ("calls",),
        "Calls found a connection open.",
        "A connection costs a handshake, with certificates. How many requests may each one have?",
    )
    more = "; ".join(
        f"{words}: {spent(evidence, name)}"
        for name, words in (
            ("calls", f"{CALLS} calls"),
            ("bulk", "one for all"),
            ("not-modified", f"{CALLS} answered 304"),
        )
    )
    return Outcome(found.verdict, found.rationale, found.help, f"{found.evidence}; {more}")


@check(points=1, needs=("stack",))
def another_stack_does_no_harm(evidence: Evidence) -> Outcome:
    """8. The network is homogeneous? A pod that answers nonsense is left out, in time and not before."""
    return judged(
        evidence,
        "stack",
        ("stack-well", "stack-left-out"),
        f"v1 was left out after {evidence.parameters['errors']} errors in a row, and no GET was lost.",
        "consecutiveErrors means nothing since 1.7: which field counts, and what is its default? May one "
        "of two pods be left out?",
    )


@check(points=1, needs=("crowd",))
def a_crowd_is_let_in_one_by_one(evidence: Evidence) -> Outcome:
    """9. And a crowd? So many are served, so many wait, and the others are told at once."""
    if evidence.notes["crowd"]["other"]:
        return ungradable("a held request was lost")
    own = evidence.parameters
    return judged(
        evidence,
        "crowd",
        (),
        f"{own['connections']} at a time, {own['pending']} waiting, the others refused.",
        "HTTP/1.1 has one request at a time on a connection: which field counts connections, and which "
        "those who wait for one?",
    )


@check(
    points=10,
    needs=(
        *("loss", "latency", "bandwidth", "security", "topology"),
        *("administrator", "transport", "stack", "crowd"),
    ),
)
def the_service_level_is_kept(evidence: Evidence) -> Outcome:
    """Over the whole storm: the level kept, between the starter's and the best that can be had."""
    levels = {name: read(evidence) for name, read in EVENTS.items()}
    mean = sum(each.position for each in levels.values()) / len(levels)
    kept = sum(each.share for each in levels.values()) / len(levels)
    least = sum(each.baseline for each in levels.values()) / len(levels)
    line = ", ".join(f"{name} {each.share:.0%}" for name, each in levels.items())
    said = f"{kept:.0%} of the requests came out right; the starter keeps {least:.0%}, the best is 100 %."
    if all(each.kept == each.of for each in levels.values()):
        return passed(said, evidence=line)
    return failed(
        f"{said} That is {mean:.0%} of the way.",
        help="Take the events one by one; each of them counts the same.",
        evidence=line,
        part=mean,
    )
