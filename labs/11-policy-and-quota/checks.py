"""Lab 11's probes and checks: who is refused by Mixer, how many are, and how a burst is throttled.

Counts start afresh when another policy was in force in between, so each probe begins with one that
refuses nothing; with it the connections from before are used up, whose next answer may follow the
configuration of then.  Requests are sent one after another and counted exactly.  What is said about time can be no
accident of a busy machine: a request that is served before the window is over shows that the window
is shorter, and one that is *sent* after its end and refused shows that it is longer, however long
anything took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.traffic import all_served, too_many_lost
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

from .rules import BINDING, BUCKET, LIST, NOTHING, QUOTA

TARGET = "recommendation"
ALWAYS = "preference"
FRIENDS = ("reports", "billing", "search")
CALLERS = ("preference", "customer", *FRIENDS)
METHODS = ("DELETE", "PUT", "PATCH")
ELSEWHERE = "billing"
"""A service that no policy of the task is about; it answers every method."""

VISITS = 4
SENT = 14
"""Requests of a caller at once; the tasks allow 8 at most."""

BURST = 24
"""Requests to customer at once; the tasks allow 10 at most."""

LONGEST_WINDOW, SLOWEST_TOKEN = 6, 3
"""Seconds in the tasks."""

LATE = 3
"""So many refusals after the end of a window or the arrival of a token are waited for."""

SLACK = 0.3
"""Seconds that clocks and timers of several processes may differ by."""

ASKED = 12
BOTH = 40
"""Requests to two pods together."""

DENIED, NOT_LISTED, TOO_MANY = 403, 404, 429

OPEN = 9
"""Connections that may be open to a pod: one for each of the grader's users, and one."""


def settle(lab: Lab) -> None:
    """Let Mixer be asked for every request, also on connections that are open already."""
    lab.apply_text(NOTHING)
    lab.count("settle-gateway", OPEN, users=1)
    for caller in CALLERS:
        number = 2 * OPEN if caller == ALWAYS else 2  # only preference is asked by several users
        lab.count(f"settle-{caller}", number, users=1, **lab.hop(caller, f"{TARGET}:8080"))


def afresh(lab: Lab) -> None:
    """The student's files on a mesh that has counted nothing yet."""
    lab.apply_text(NOTHING)
    lab.apply_student()


def directly(lab: Lab, service: str) -> list[dict[str, Any]]:
    """Fields of a plan that asks a service's pods as somebody without a sidecar: new connections."""
    return [
        {"host": f"http://{pod.address}:{pod.ports[8080]}", "users": 1, "connections": "new"}
        for pod in lab.testbed.pods()
        if pod.service == service
    ]


def ask(lab: Lab, caller: str, target: str, method: str = "GET") -> int:
    """The status of one request, as an application sends it."""
    url = f"http://{target}:8080/"
    return lab.testbed.request(url, from_pod=caller, method=method).status


@probe
def visits(lab: Lab) -> None:
    """Visiting as customers do."""
    settle(lab)
    afresh(lab)
    lab.count("visits", VISITS, users=1)


@probe
def methods(lab: Lab) -> None:
    """Trying every method."""
    afresh(lab)
    own = lab.parameters["method"]
    order = sorted(METHODS, key=lambda each: each != own)  # the others may cost a share
    lab.note(
        "methods",
        here={method: ask(lab, ALWAYS, TARGET, method) for method in METHODS},
        elsewhere={method: ask(lab, ALWAYS, ELSEWHERE, method) for method in METHODS},
        friends={
            friend: {method: ask(lab, friend, TARGET, method) for method in order}
            for friend in FRIENDS
        },
    )


@probe
def callers(lab: Lab) -> None:
    """Asking from everywhere."""
    afresh(lab)
    here = {caller: ask(lab, caller, TARGET) for caller in CALLERS}
    elsewhere = {
        caller: ask(lab, caller, "preference" if caller == ELSEWHERE else ELSEWHERE)
        for caller in CALLERS
        if caller != ALWAYS
    }
    lab.note("callers", here=here, elsewhere=elsewhere)


@probe
def shares(lab: Lab) -> None:
    """Asking more often than one may, and waiting for the next window."""
    afresh(lab)
    begun = {}
    for caller in (*FRIENDS, ALWAYS):
        seen = lab.count(f"share-{caller}", SENT, users=1, **lab.hop(caller, f"{TARGET}:8080"))
        if any(item.status == TOO_MANY for item in seen):
            begun[caller] = seen[0].start + seen[0].seconds
    for caller, begin in begun.items():
        end = begin + LONGEST_WINDOW + SLACK

        def more(seen: tuple[Observation, ...], end: float = end) -> bool:
            return not served(seen) and sum(item.start > end for item in seen) < LATE

        until(lab, f"next-{caller}", more, users=1, **lab.hop(caller, f"{TARGET}:8080"))


@probe
def throttle(lab: Lab) -> None:
    """Sending a burst to customer, and waiting for the next token."""
    afresh(lab)
    way = {"path": "/health/ready", **directly(lab, "customer")[0]}
    seen = lab.count("burst", BURST, **way)
    good = served(seen)
    since = good[-1].start + good[-1].seconds if good else 0.0
    end = since + SLOWEST_TOKEN + SLACK

    def more(seen: tuple[Observation, ...]) -> bool:
        return not served(seen) and sum(item.start > end for item in seen) < LATE

    if good and len(good) < len(seen):
        until(lab, "token", more, **way)


def until(lab: Lab, name: str, more: Any, **way: Any) -> None:
    """One request after another, while ``more`` says so; no more than 30 s."""
    lab.drive(name, more, requests=150, batch=1, think_seconds=0.2, **way)


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    own = lab.parameters
    hop = {"users": 1, **lab.hop(ALWAYS, f"{TARGET}:8080")}
    quota = QUOTA.format(budget=own["budget"], cost=own["cost"])
    found: dict[str, int] = {}
    settle(lab)
    for name, text in (("what-it-costs", quota + BINDING), ("without-a-binding", quota)):
        lab.apply_text(NOTHING)
        lab.apply_text(text)
        found[name] = len(served(lab.count(f"predicted-{name}", ASKED, **hop)))
    lab.apply_text(LIST)
    found["not-on-the-list"] = ask(lab, "customer", TARGET)
    lab.apply_text(BUCKET.format(burst=own["burst"]))
    ways = directly(lab, TARGET)
    found["two-pods"] = sum(
        len(served(lab.count(f"predicted-two-pods-{number}", BOTH // len(ways), **way)))
        for number, way in enumerate(ways)
    )
    lab.note("predicted", **found)
    settle(lab)  # what comes next shall not be refused by this bucket


def served(seen: Iterable[Observation]) -> list[Observation]:
    """Those that were answered 200."""
    return [item for item in seen if item.status == 200]


def late(seen: Iterable[Observation], end: float) -> list[Observation]:
    """Those that were sent after ``end`` (seconds since 1970) and refused."""
    return [item for item in seen if item.status == TOO_MANY and item.start > end]


def answered(seen: Sequence[Observation]) -> str:
    """``6 x 200, 8 x 429``."""
    told = Counter(str(item.status or "no answer") for item in seen)
    return ", ".join(f"{count} x {status}" for status, count in sorted(told.items()))


def wrong(asked: Mapping[str, int], status: int) -> list[str]:
    """What was not answered with this status."""
    return [f"{what} was answered {got}" for what, got in asked.items() if got != status]


@check(points=1, needs=("visits",))
def customers_are_served(evidence: Evidence) -> Outcome:
    """A few visits come through."""
    return all_served(
        evidence,
        "visits",
        help="The body of the answer says who refuses, handler and all. A rule holds for every "
        "workload of its namespace, unless `match` says otherwise.",
    )


@check(points=2, needs=("methods",))
def the_method_is_refused(evidence: Evidence) -> Outcome:
    """The method is answered 403 at recommendation, whoever sends it; others are not, nor elsewhere."""
    asked, method = evidence.notes["methods"], evidence.parameters["method"]
    friend = evidence.parameters["friend"]
    theirs = {
        f"{method} from {ALWAYS}": asked["here"][method],
        f"{method} from {friend}": asked["friends"][friend][method],
    }
    if bad := wrong(theirs, DENIED):
        return failed(
            f"At {TARGET} {bad[0]}.",
            help="A denier has a status (code 7 is PERMISSION_DENIED, 403), and a rule gives it an "
            "instance. Mixer has no answer of its own: without a rule nothing is asked.",
            evidence="; ".join(bad),
        )
    rest = {
        **{f"{m} at {TARGET}": s for m, s in asked["here"].items() if m != method},
        **{f"{m} at {ELSEWHERE}": s for m, s in asked["elsewhere"].items()},
    }
    if bad := wrong(rest, 200):
        return failed(
            f"More is refused than the task says: {bad[0]}.",
            help="`match` has to say both: which method, and at which service.",
            evidence="; ".join(bad),
        )
    return passed(f"{method} is answered 403 at {TARGET}, and only there.")


@check(points=2, needs=("callers",))
def the_list_is_kept(evidence: Evidence) -> Outcome:
    """Only the two apps may ask recommendation; everybody else is answered 404, and only there."""
    found, friend = evidence.notes["callers"], evidence.parameters["friend"]
    mine = {caller: found["here"][caller] for caller in (ALWAYS, friend)}
    if bad := wrong(mine, 200):
        return failed(
            f"Somebody on the list was not served: {bad[0]}.",
            help="What does the instance say of the caller, and what stands on the list? `blacklist` "
            "turns its meaning round.",
        )
    others = {
        caller: status for caller, status in found["here"].items() if caller not in (ALWAYS, friend)
    }
    if bad := wrong(others, NOT_LISTED):
        return failed(
            f"Somebody who is not on the list was not refused: {bad[0]}.",
            help="A list that no rule asks refuses nobody.",
            evidence="; ".join(bad),
        )
    if bad := wrong(found["elsewhere"], 200):
        return failed(
            f"The list is asked elsewhere, too: at {ELSEWHERE} or preference {bad[0]}.",
            help="Say in `match` at which service.",
        )
    return passed(f"{ALWAYS} and {friend} are served, {', '.join(others)} are not.")


def limit_of(evidence: Evidence, caller: str) -> int:
    """How many requests of a caller are served in a window."""
    return int(evidence.parameters["less" if caller == evidence.parameters["friend"] else "amount"])


@check(points=2, needs=("shares",))
def everybody_has_a_share(evidence: Evidence) -> Outcome:
    """Each caller is served as often as it may, and then answered 429."""
    window = evidence.parameters["window"]
    for caller in (ALWAYS, evidence.parameters["friend"]):
        seen = evidence.probe(f"share-{caller}")
        if not seen:
            return failed(f"{caller} was not asked.", help="Whose task was answered?")
        if problem := too_many_lost(seen):
            return ungradable(problem)
        inside = [i for i in seen if i.start + i.seconds < seen[0].start + window]
        wanted = limit_of(evidence, caller)
        if len(inside) <= wanted:
            return ungradable(f"only {len(inside)} requests were answered within {window} s")
        got = [item.status for item in inside]
        if got != [200] * wanted + [TOO_MANY] * (len(got) - wanted):
            return failed(
                f"{caller} may ask {wanted} times and sent {len(got)} requests: {answered(inside)}.",
                help="memquota has the limit, quota says of what one count is kept, QuotaSpec what a "
                "request costs, QuotaSpecBinding at which services. An override has the same "
                "dimensions as the quota.",
            )
    return passed("Both are served as often as they may, and no more.")


@check(points=1, needs=("shares",))
def the_share_comes_back(evidence: Evidence) -> Outcome:
    """When the window is over each caller is served again, and not before."""
    window = evidence.parameters["window"]
    for caller in (ALWAYS, evidence.parameters["friend"]):
        seen, after = evidence.probe(f"share-{caller}"), evidence.probe(f"next-{caller}")
        if not seen or not any(item.status == TOO_MANY for item in seen):
            return failed(
                f"{caller} was never answered 429, so nothing could come back.",
                help="Read the check before this one.",
            )
        begin, known = seen[0].start, seen[0].start + seen[0].seconds
        good = [*served(seen)[limit_of(evidence, caller) :], *served(after)]
        early = [i for i in good if i.start + i.seconds < begin + window - SLACK]
        if early:
            passed_by = early[0].start + early[0].seconds - begin
            return failed(
                f"{caller} was served again after {passed_by:.1f} s, the window is {window} s.",
                help="validDuration is the length of the window; an override has one of its own.",
            )
        if too_late := late(after, known + window + SLACK):
            return failed(
                f"{caller} was still refused after {too_late[0].start - begin:.1f} s, the window is "
                f"{window} s.",
                help="validDuration is the length of the window; an override has one of its own.",
            )
        if not good:
            return ungradable(f"{caller} did not ask long enough")
    return passed(f"Both were served again after {window} s.")


@check(points=2, needs=("throttle",))
def bursts_are_throttled(evidence: Evidence) -> Outcome:
    """Customer takes the burst, answers 429 to what is more, and takes one more for each new token."""
    burst, interval = evidence.parameters["burst"], evidence.parameters["interval"]
    seen, after = evidence.probe("burst"), evidence.probe("token")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    bare = [i for i in seen if i.status not in (200, TOO_MANY)]
    if bare:
        return failed(
            f"customer answered {answered(seen)}.",
            help="A rate limit answers 429. Who answers something else?",
        )
    if [item.status for item in seen[:burst]] != [200] * burst:
        return failed(
            f"Of the first {burst} requests not all were taken: {answered(seen[:burst])}.",
            help="max_tokens is the size of the bucket, and it is full at the beginning.",
        )
    begin, rate = seen[0].start, burst / interval
    for number, item in enumerate(served([*seen, *after]), 1):
        spent = item.start + item.seconds - begin + SLACK
        if number > burst + rate * spent:
            return failed(
                f"{number} requests were taken within {spent:.1f} s, {burst + rate * spent:.1f} are "
                "allowed.",
                help="Does the filter do anything? It has to be enabled and enforced, both for 100 of "
                "HUNDRED. And tokens come back as tokens_per_fill and fill_interval say.",
                evidence=answered(seen),
            )
    taken = served(seen)[-1]
    since = taken.start + taken.seconds + 1 / rate
    if too_late := late(after, since + SLACK):
        return failed(
            f"{too_late[0].start - taken.start:.1f} s after the last one that was taken customer still "
            f"refuses; a token comes every {1 / rate:.1f} s.",
            help="tokens_per_fill tokens come back in each fill_interval.",
        )
    if not served(after):
        return ungradable("customer was not asked long enough")
    return passed(f"{answered(seen)}; then a token every {1 / rate:.1f} s.")
