"""Questions that many checks ask of recorded traffic, and the sentences that answer them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from grader.evidence.record import Evidence
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

TRANSPORT_LIMIT = 0.01
"""Above this share of lost connections a run says more about the machine than about the mesh."""

FLAGS = {
    "NC": "no such cluster: the route names a subset that no DestinationRule defines",
    "NR": "no route matched the request",
    "UH": "the subset has no pod",
    "UF": "the connection to the pod failed",
    "UC": "the pod closed the connection",
    "UT": "a time limit of the route ended it",
    "UO": "a circuit breaker was open",
    "FI": "a fault filter aborted it",
    "DI": "a fault filter delayed it",
    "URX": "the retries were used up",
    "UAEX": "an authorisation policy refused it",
    "RL": "a rate limit refused it",
}
"""Envoy's response flags (access log ``%RESPONSE_FLAGS%``) in words."""


def split(observations: Sequence[Observation]) -> dict[str, int]:
    """How many requests each version answered, by version; unanswered ones are not counted."""
    counted = Counter(item.version for item in observations if item.version)
    return dict(sorted(counted.items()))


def percent(part: int, whole: int) -> str:
    """``26 of 250`` as ``10.4 %``."""
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def lost(observations: Sequence[Observation]) -> list[Observation]:
    """The requests that got no answer at all: a transport error between client and gateway."""
    return [item for item in observations if item.error]


def too_many_lost(observations: Sequence[Observation]) -> str:
    """A sentence when so many connections broke that nothing can be judged, else ``""``."""
    gone = lost(observations)
    if not observations:
        return "no request was sent"
    if len(gone) <= TRANSPORT_LIMIT * len(observations):
        return ""
    return f"{len(gone)} of {len(observations)} connections to the gateway broke ({gone[0].error})"


def refused(evidence: Evidence, observations: Sequence[Observation]) -> str:
    """What went wrong with the answers that are not 200, and where; ``""`` when all are.

    ``25 of 25 requests were answered 503; preference-...: NC, no such cluster: ...``
    """
    bad = [item for item in observations if not item.error and item.status != 200]
    if not bad:
        return ""
    statuses = Counter(item.status for item in bad)
    codes = " and ".join(
        str(code) if len(statuses) == 1 else f"{code} ({count} times)"
        for code, count in sorted(statuses.items())
    )
    where = ""
    if said := flagged(evidence, bad)[0]:
        where = f"; {said}"
    elif bad[0].body.strip():
        where = f"; the first said {bad[0].body.strip()[:100]!r}"
    return f"{len(bad)} of {len(observations)} requests were answered {codes}{where}"


def all_served(evidence: Evidence, probe: str, help: str) -> Outcome:
    """Every visit of a probe was answered with 200; ``help`` is for a student whose are not."""
    seen = evidence.probe(probe)
    if problem := too_many_lost(seen):
        return ungradable(problem)
    if bad := refused(evidence, seen):
        said = next(item.body for item in seen if item.status != 200)
        return failed(bad, help=help, evidence=f"the first said: {said.strip()[:200]}")
    return passed(f"All {len(seen)} visits were served.")


def repaired(evidence: Evidence, observations: Sequence[Observation]) -> str:
    """What failed on the way and was retried, so that the client saw 200; ``""`` for nothing.

    Retries hide a broken subset from the customer, not from the sidecar that met it.
    """
    good = [item for item in observations if item.status == 200]
    said, count = flagged(evidence, good)
    if not said:
        return ""
    return (
        f"{count} of the {len(good)} answered requests failed on the way and were retried: {said}"
    )


def flagged(evidence: Evidence, observations: Sequence[Observation]) -> tuple[str, int]:
    """Which sidecar raised which flag most often for these requests, and for how many of them.

    ``("", 0)`` when none did.
    """
    ids = {item.request_id for item in observations}
    seen: dict[tuple[str, str], set[str]] = {}
    for line in evidence.access_log:
        if line.get("request_id") in ids:
            for flag in str(line.get("response_flags", "")).split(","):
                if flag in FLAGS:
                    key = (str(line.get("pod", "")), flag)
                    seen.setdefault(key, set()).add(str(line["request_id"]))
    if not seen:
        return "", 0
    # URX says that a retrying sidecar gave up; the cause is what another one met.
    pod, flag = max(seen, key=lambda key: (key[1] != "URX", len(seen[key])))
    return f"the sidecar of {pod} says {flag}, {FLAGS[flag]}", len(seen[pod, flag])
