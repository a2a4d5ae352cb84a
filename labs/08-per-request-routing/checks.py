"""Lab 8's probes and checks: which rule decides about which request.

Every request is decided by what it carries, so all is counted exactly.  Browsers come through the
gateway; customer passes the browser's name on as ``baggage-user-agent``.  The tester and the
calls of customer's own pods are asked for by the hop that they use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.traffic import refused, split, too_many_lost
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

BROWSER = 20
OTHERS = 10
"""Of each browser; a tenth of the traffic at the wrong version stays unseen once in 60 runs of
one, never of all: a rule decides by the header, not by chance."""
TESTER = 40
"""Requests of the one who debugs, twice: that 90 % are aborted stays unseen once in 4,500 runs."""

OTHER_BROWSERS = ("Chrome", "Lynx", "Safari")
AGENT = "Mozilla/5.0 (X11; Linux x86_64) {browser}/120.0 (like nothing else)"

MATCH = """\
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {{name: grader-recommendation, namespace: tutorial}}
spec:
  host: recommendation
  subsets:
    - {{name: grader-v1, labels: {{version: v1}}}}
    - {{name: grader-v2, labels: {{version: v2}}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: grader-recommendation, namespace: tutorial}}
spec:
  hosts: [recommendation]
  http:
    - match: [{match}]
      route: [{{destination: {{host: recommendation, subset: grader-v2}}}}]
    - {second}
      route: [{{destination: {{host: recommendation, subset: grader-v1}}}}]
"""
EVERYBODY = "name: everybody"


def agent(browser: str) -> dict[str, str]:
    """The headers that a browser sends."""
    return {"user-agent": AGENT.format(browser=browser)}


@probe
def browsers(lab: Lab) -> None:
    """Coming with different browsers."""
    lab.apply_student()
    mine = lab.parameters["browser"]
    seen = {mine: split(lab.count("browser", BROWSER, headers=agent(mine)))}
    for other in OTHER_BROWSERS:
        found = lab.count(f"other-{other.lower()}", OTHERS, headers=agent(other))
        seen[other] = split(found)
    lab.note("browsers", split=seen)


@probe
def tester(lab: Lab) -> None:
    """Asking as the one who debugs."""
    mine, wanted = lab.parameters["browser"], str(lab.parameters["tester"])
    for name, count, headers in (
        ("tester", TESTER, {"user-preference": wanted}),
        (
            "tester-browser",
            TESTER,
            {"user-preference": wanted, "baggage-user-agent": agent(mine)["user-agent"]},
        ),
        ("neighbour", OTHERS, {"user-preference": f"{wanted}4"}),
        ("stranger", OTHERS, {"user-preference": "7"}),
    ):
        lab.count(name, count, **lab.hop("preference", "recommendation:8080", headers))


@probe
def callers(lab: Lab) -> None:
    """Asking from the pods of customer and preference."""
    for caller in ("customer", "preference"):
        lab.count(f"from-{caller}", 15, **lab.hop(caller, "recommendation:8080"))


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    mine = lab.parameters["browser"]
    ways = {
        "by-user-agent": f"{{headers: {{user-agent: {{regex: '.*{mine}.*'}}}}}}",
        "without-dot-star": f"{{headers: {{baggage-user-agent: {{regex: '{mine}'}}}}}}",
    }
    for name, match in ways.items():
        lab.apply_text(MATCH.format(match=match, second=EVERYBODY))
        lab.count(f"predicted-{name}", 20, headers=agent(mine))
    both = f"{{headers: {{baggage-user-agent: {{regex: '.*{mine}.*'}}}}}}"
    lab.apply_text(
        MATCH.format(match=both, second="match: [{headers: {user-preference: {exact: '7'}}}]")
    )
    headers = {**agent(mine), "user-preference": "7"}
    lab.count("predicted-who-wins", 10, headers=headers)


def versions(seen: Sequence[Observation]) -> str:
    """``v1 answered 18, v2 answered 2``."""
    told = [f"{name} answered {count}" for name, count in split(seen).items()]
    return ", ".join(told) or "nobody answered"


def all_of(seen: Sequence[Observation], version: str) -> bool:
    """Whether every request was answered by this version."""
    return all(item.status == 200 and item.version == version for item in seen)


@check(points=3, needs=("browsers",))
def the_browser_gets_v2(evidence: Evidence) -> Outcome:
    """Everybody who comes with the browser of the task is answered by v2."""
    seen = evidence.probe("browser")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    browser = evidence.parameters["browser"]
    line = f"{len(seen)} visits with {browser}: {versions(seen)}"
    if bad := refused(evidence, seen):
        return failed(bad, help="Do all rules name subsets that exist?", evidence=line)
    if all_of(seen, "v2"):
        return passed(f"All {len(seen)} visits with {browser} were answered by v2.", evidence=line)
    return failed(
        f"With {browser}, {versions(seen)} of {len(seen)}.",
        help="Which header does recommendation's request carry, and does your pattern fit all of its "
        "value? Is a more general rule above?",
        evidence=line,
    )


@check(points=3, needs=("browsers",))
def everybody_else_stays_with_v1(evidence: Evidence) -> Outcome:
    """Everybody who comes with another browser is answered by v1."""
    seen = [item for name in OTHER_BROWSERS for item in evidence.probe(f"other-{name.lower()}")]
    if problem := too_many_lost(seen):
        return ungradable(problem)
    line = f"{len(seen)} visits with {', '.join(OTHER_BROWSERS)}: {versions(seen)}"
    if bad := refused(evidence, seen):
        return failed(
            bad,
            help="A request that no rule matches is a 404: the last rule has no match.",
            evidence=line,
        )
    if all_of(seen, "v1"):
        return passed(f"All {len(seen)} other visits were answered by v1.", evidence=line)
    return failed(
        f"With other browsers, {versions(seen)} of {len(seen)}.",
        help="Entries of a `match` list are alternatives; conditions in one entry hold together.",
        evidence=line,
    )


@check(points=2, needs=("tester",))
def the_tester_meets_the_error(evidence: Evidence) -> Outcome:
    """Each request of the one who debugs is aborted, with the task's status, and nobody else's."""
    status, wanted = evidence.parameters["status"], evidence.parameters["tester"]
    own = [*evidence.probe("tester"), *evidence.probe("tester-browser")]
    others = [*evidence.probe("neighbour"), *evidence.probe("stranger")]
    if problem := too_many_lost([*own, *others]):
        return ungradable(problem)
    told = Counter(item.status for item in own)
    line = ", ".join(f"{count} x {code}" for code, count in sorted(told.items()))
    line = f"user {wanted}: {line}; others: {versions(others)}"
    hit = [item for item in others if item.status != 200]
    if hit:
        return failed(
            f"{len(hit)} of {len(others)} requests of other users failed, too.",
            help="An exact match is for one user; a prefix is for all whose number begins so.",
            evidence=line,
        )
    if set(told) == {status}:
        return passed(f"All requests of user {wanted} were answered {status}.", evidence=line)
    missed = sum(count for code, count in told.items() if code != status)
    return failed(
        f"{missed} of {len(own)} requests of user {wanted} were not answered {status}.",
        help="A fault needs a percentage. And with the browser of the task? The first rule that "
        "matches decides.",
        evidence=line,
    )


@check(points=2, needs=("callers",))
def the_caller_counts(evidence: Evidence) -> Outcome:
    """Calls from customer's own pods get v2, calls from preference's stay with v1."""
    own, others = evidence.probe("from-customer"), evidence.probe("from-preference")
    if problem := too_many_lost([*own, *others]):
        return ungradable(problem)
    line = f"from customer: {versions(own)}; from preference: {versions(others)}"
    if bad := refused(evidence, [*own, *others]):
        return failed(bad, help="Which rule is for these calls?", evidence=line)
    if not all_of(others, "v1"):
        return failed(
            "Calls from preference's pods do not stay with v1.",
            help="sourceLabels are the labels of the calling pod; preference calls for everybody.",
            evidence=line,
        )
    if all_of(own, "v2"):
        return passed("The caller's labels decide.", evidence=line)
    return failed(
        "Calls from customer's pods are not answered by v2.",
        help="Which labels do customer's pods have? `meshctl describe pod customer` shows them.",
        evidence=line,
    )
