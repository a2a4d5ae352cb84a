"""Lab 9's probes and checks: who may do what, asked one by one.

Every request is decided by who sends it, with which token, and what it asks for, so all is counted
exactly.  ``tokens/`` has a token for each person; the key that signed them was thrown away.  A policy
travels with the listener, and on a cluster a connection that was open before gets one more answer by
the old one (the kit's own mesh renews it): ``settle`` uses these up before anything is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.traffic import all_served
from grader.verdict import Outcome, failed, passed

TOKENS = Path(__file__).with_name("tokens")
PAIRS = (
    ("customer", "preference"),
    ("customer", "recommendation"),
    ("preference", "recommendation"),
    ("preference", "customer"),
    ("recommendation", "preference"),
)
OPEN = 9
"""Connections that may be open between two sidecars: one for each of the grader's users, and one."""

TWICE = 2
POLICY = """\
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: tutorial}}
spec:
  selector: {{matchLabels: {{app: recommendation}}}}
  action: {action}
  rules: {rules}
"""


def token(name: str) -> dict[str, str]:
    """The header of somebody who shows a token."""
    text = (TOKENS / f"{name}.jwt").read_text(encoding="utf-8").strip()
    return {"authorization": f"Bearer {text}"}


def settle(lab: Lab) -> None:
    """Use up the connections that are open: in a real mesh one more answer follows the old policy."""
    lab.count("settle-gateway", OPEN, users=1)
    for caller, target in PAIRS:
        hop = lab.hop(caller, f"{target}:8080")
        lab.count(f"settle-{caller}-{target}", OPEN, users=1, path="/health/ready", **hop)


def ask(
    lab: Lab,
    caller: str,
    target: str,
    path: str = "/",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> list[int]:
    """The statuses of the same request, sent twice as an application sends it."""
    url = f"http://{target}:8080{path}"
    return [
        lab.testbed.request(url, from_pod=caller, method=method, headers=headers).status
        for _ in range(TWICE)
    ]


@probe
def visits(lab: Lab) -> None:
    """Visiting as customers do."""
    lab.apply_student()
    settle(lab)
    lab.count("visits", 20, users=2)


@probe
def strangers(lab: Lab) -> None:
    """Asking for what nobody allowed."""
    asked = {
        "POST from the ingress gateway to customer": [
            lab.testbed.request("/", method="POST").status for _ in range(TWICE)
        ],
        "GET from customer to recommendation": ask(lab, "customer", "recommendation"),
        "GET from recommendation to preference": ask(lab, "recommendation", "preference"),
        "GET from preference to customer": ask(lab, "preference", "customer"),
        "POST from customer to preference": ask(lab, "customer", "preference", method="POST"),
        "POST from preference to recommendation": ask(
            lab, "preference", "recommendation", "/ratings", "POST"
        ),
        "DELETE from preference to recommendation": ask(
            lab, "preference", "recommendation", method="DELETE"
        ),
    }
    lab.note("strangers", asked=asked)


@probe
def people(lab: Lab) -> None:
    """Asking as people with tokens."""
    member = token(lab.parameters["member"])
    asked = {
        "member": ask(lab, "customer", "recommendation", "/ratings", "POST", member),
        "member-elsewhere": ask(lab, "preference", "recommendation", "/ratings", "POST", member),
        "member-reads": ask(lab, "customer", "recommendation", "/ratings", "GET", member),
        "member-posts-elsewhere": ask(lab, "customer", "recommendation", "/", "POST", member),
        "eve": ask(lab, "customer", "recommendation", "/ratings", "POST", token("eve")),
        "nobody": ask(lab, "customer", "recommendation", "/ratings", "POST"),
        "mallory": ask(lab, "customer", "recommendation", "/ratings", "POST", token("mallory")),
        "mallory-reads": ask(lab, "preference", "recommendation", "/", "GET", token("mallory")),
    }
    lab.note("people", asked=asked)


@probe
def secrets(lab: Lab) -> None:
    """Asking for the secret."""
    member, secret = token(lab.parameters["member"]), lab.parameters["secret"]
    asked = {
        secret: ask(lab, "preference", "recommendation", secret),
        f"{secret}/users": ask(lab, "preference", "recommendation", f"{secret}/users"),
        f"{secret} with a token": ask(lab, "preference", "recommendation", secret, headers=member),
    }
    neighbour = ask(lab, "preference", "recommendation", lab.parameters["neighbour"])
    lab.note("secrets", asked=asked, neighbour=neighbour)


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    own = lab.parameters
    issuer = (Path(__file__).parent / "start" / "request-authentication.yaml").read_text()
    issuer = issuer.replace("app: customer", "app: recommendation")
    found: dict[str, Any] = {}
    lab.apply_text(issuer)
    settle(lab)
    found["without-a-token"] = ask(lab, "preference", "recommendation")
    found["with-a-bad-token"] = ask(lab, "preference", "recommendation", headers=token("mallory"))
    group = f"[{{when: [{{key: 'request.auth.claims[groups]', values: [{own['group']}]}}]}}]"
    source = "{notPrincipals: [cluster.local/ns/tutorial/sa/preference]}"
    others = f"[{{from: [{{source: {source}}}], to: [{{operation: {{methods: [POST]}}}}]}}]"
    path = f"[{{to: [{{operation: {{paths: ['{own['secret']}']}}}}]}}]"
    for name, policies in (
        ("deny-and-allow", (("allow", "ALLOW", group), ("deny", "DENY", others))),
        ("two-slashes", (("deny", "DENY", path),)),
    ):
        parts = [POLICY.format(name=n, action=action, rules=rules) for n, action, rules in policies]
        lab.apply_text("---\n".join([issuer, *parts]))
        settle(lab)
        if name == "two-slashes":
            found[name] = ask(lab, "preference", "recommendation", f"/{own['secret']}")
        else:
            member = token(own["member"])
            found[name] = ask(lab, "customer", "recommendation", "/ratings", "POST", member)
    lab.note("predicted", **found)


def wrong(asked: Mapping[str, list[int]], status: int) -> list[str]:
    """What was not answered with this status, each in a few words."""
    return [
        f"{what} was answered {' and '.join(map(str, sorted(set(got))))}"
        for what, got in asked.items()
        if set(got) != {status}
    ]


@check(points=2, needs=("visits",))
def customers_are_served(evidence: Evidence) -> Outcome:
    """Visits come through: gateway, customer, preference, recommendation."""
    return all_served(
        evidence,
        "visits",
        help="Which sidecar refuses first, and whose name is in its caller's certificate? "
        "`meshctl explain` tells of a request which policy decided.",
    )


@check(points=3, needs=("strangers",))
def nobody_else_gets_in(evidence: Evidence) -> Outcome:
    """What the task does not allow is answered 403."""
    asked = evidence.notes["strangers"]["asked"]
    if bad := wrong(asked, 403):
        return failed(
            f"{len(bad)} of {len(asked)} things that nobody allowed were not refused: {bad[0]}.",
            help="A policy with ALLOW refuses everybody else, at the pods that it selects. From whom, "
            "and to do what: both stand in one rule.",
            evidence="; ".join(bad),
        )
    return passed(f"All {len(asked)} were answered 403.")


@check(points=2, needs=("people",))
def the_group_may_rate(evidence: Evidence) -> Outcome:
    """People of the group may POST to /ratings, wherever they come from, and do nothing else."""
    asked, group = evidence.notes["people"]["asked"], evidence.parameters["group"]
    member = evidence.parameters["member"]
    good = {
        f"{member}'s POST from customer": asked["member"],
        f"{member}'s POST from preference": asked["member-elsewhere"],
    }
    if bad := wrong(good, 200):
        return failed(
            f"{member} is one of the {group}, but {bad[0]}.",
            help="A claim is compared in `when`: request.auth.claims[groups]. Is the token looked at, "
            "at these pods?",
            evidence="; ".join(bad),
        )
    others = {
        f"GET /ratings by {member}": asked["member-reads"],
        f"POST / by {member}": asked["member-posts-elsewhere"],
        "POST /ratings by eve, who is in another group": asked["eve"],
        "POST /ratings without a token": asked["nobody"],
    }
    if bad := wrong(others, 403):
        return failed(
            f"More than the task allows: {bad[0]}.",
            help="Who, what, and under which condition: all three stand in one rule.",
            evidence="; ".join(bad),
        )
    return passed(f"The {group} may rate, and only they.")


@check(points=1, needs=("people",))
def bad_tokens_are_refused(evidence: Evidence) -> Outcome:
    """A token that has run out is answered 401 at recommendation, whoever brings it."""
    asked = evidence.notes["people"]["asked"]
    bad = wrong(
        {"POST from customer": asked["mallory"], "GET from preference": asked["mallory-reads"]}, 401
    )
    if bad:
        return failed(
            f"mallory's token has run out: {bad[0]}.",
            help="A RequestAuthentication looks at tokens at the pods that it selects, and nowhere else.",
            evidence="; ".join(bad),
        )
    return passed("A token that has run out is answered 401.")


@check(points=2, needs=("secrets",))
def the_secret_stays_closed(evidence: Evidence) -> Outcome:
    """The secret and everything below it is answered 403, also to who may read everything else."""
    found, neighbour = evidence.notes["secrets"], evidence.parameters["neighbour"]
    closed = {
        what: [403 if status == 401 else status for status in got]  # a token that is not believed
        for what, got in found["asked"].items()
    }
    if bad := wrong(closed, 403):
        return failed(
            f"The secret is open: {bad[0]}.",
            help="DENY is asked before ALLOW. A path is compared as a whole, unless it ends in *.",
            evidence="; ".join(bad),
        )
    if set(found["neighbour"]) != {404}:
        return failed(
            f"{neighbour} was answered {found['neighbour'][0]}: it is no secret, preference may ask for it "
            "(and be told that there is no such page).",
            help="Is preference served at all (the first check)? If it is: /a* begins more than /a/*.",
        )
    return passed("The secret stays closed, its neighbour does not.")
