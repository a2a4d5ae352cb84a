"""How the answers of lab 4 are judged: each by what the run measured."""

from __future__ import annotations

from collections import Counter

from grader.checks import answer
from grader.evidence.answered import diagnosed, diagnosed_flag, same
from grader.evidence.record import Evidence
from grader.verdict import Outcome, ungradable

FLAGS = ("UC", "UF", "UH", "NR", "UAEX")


@answer(points=1, needs=("predicted",))
def who_calls(evidence: Evidence, given: str) -> Outcome:
    """The peer's name in the inbound record of the service, on customers' visits."""
    service = evidence.parameters["open"]
    ids = {item.request_id for item in evidence.probe("predicted-visits")}
    names = Counter(
        str(line.get("downstream_peer_uri_san", "")).rpartition("/")[2]
        for line in evidence.access_log
        if line.get("request_id") in ids
        and line.get("direction") == "inbound"
        and evidence.pods.get(str(line.get("pod")), {}).get("app") == service
    )
    if len(names) != 1:
        return ungradable(f"{service} wrote of {len(names)} different callers")
    (name,) = names
    return same(given, name, f"{service} was called by {name} each time.")


@answer(points=1, needs=("predicted",))
def plain_against_strict(evidence: Evidence, given: float) -> Outcome:
    """What an application gets whose sidecar speaks plain text to a strict one."""
    seen = evidence.probe("predicted-strict")
    statuses = {item.status for item in seen}
    if len(statuses) != 1:
        return ungradable(f"the statuses differed: {sorted(statuses)}")
    return same(given, float(seen[0].status), f"All {len(seen)} were answered {seen[0].status}.")


@answer(points=1, needs=("predicted",))
def slide_and_ledger(evidence: Evidence, given: float) -> Outcome:
    """How many requests the ledger answers when every caller has to speak mutual TLS."""
    seen = evidence.probe("predicted-ledger")
    good = sum(1 for item in seen if item.status == 200)
    return same(given, float(good), f"{good} of {len(seen)} were answered 200.")


@answer(points=1, needs=("predicted",))
def lifetime(evidence: Evidence, given: float) -> Outcome:
    """The hours between the two dates in the certificate that was shown on the wire."""
    shown = evidence.notes["predicted"]["certificate"]
    said = f"{shown['names'][0]} is good for {shown['hours']} hours, signed by {shown['issuer']}."
    return same(given, float(shown["hours"]), said)


@answer(points=1, needs=("diagnosis",))
def flag(evidence: Evidence, given: str) -> Outcome:
    """The flag in the broken mesh's logs."""
    return diagnosed_flag(evidence, given, FLAGS)


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
