"""How the answers of lab 2 are judged: each by what the run measured."""

from __future__ import annotations

from collections import Counter

from grader.checks import answer
from grader.evidence.answered import diagnosed, same
from grader.evidence.record import Evidence
from grader.verdict import Outcome, failed, passed, ungradable


@answer(points=1, needs=("predicted",))
def ratings_in_all(evidence: Evidence, given: float) -> Outcome:
    """The ratings that both pods say they have stored."""
    stored = evidence.notes["predicted"]["ratings"]
    total = sum(stored.values())
    told = " and ".join(f"{name} stored {count}" for name, count in stored.items())
    return same(given, float(total), f"{told}: {total} in all.")


@answer(points=1, needs=("predicted",))
def customers_with_an_error(evidence: Evidence, given: float) -> Outcome:
    """How many of the callers did not get 200 while v2 was sick."""
    seen = evidence.probe("predicted-sick")
    bad = sum(1 for item in seen if item.status != 200)
    return same(given, float(bad), f"{bad} of {len(seen)} callers saw an error.")


@answer(points=1, needs=("predicted",))
def host_of_a_copy(evidence: Evidence, given: str) -> Outcome:
    """The Host in the access log of v2's sidecar."""
    ids = {item.request_id for item in evidence.probe("predicted-copies")}
    hosts = Counter(
        line.get("authority", "")
        for line in evidence.access_log
        if line.get("request_id") in ids and evidence.version_of(line["pod"]) == "v2"
    )
    if not hosts:
        return ungradable("no copy arrived")
    host, _ = hosts.most_common(1)[0]
    return same(given, host, f"v2's sidecar saw copies for {host}.")


@answer(points=1, needs=("diagnosis",))
def handled_by_v1(evidence: Evidence, given: float) -> Outcome:
    """What v1's application wrote into its journal; the number is not given away."""
    ids = [item.request_id for item in evidence.probe("diagnosis")]
    lines = evidence.journal_of(ids, "recommendation")
    count = sum(1 for line in lines if evidence.version_of(str(line["pod"])) == "v1")
    if given == count:
        return passed(f"v1 handled {count} requests.")
    return failed(
        "v1 handled another number.",
        help="Count the inbound lines of v1's pod in diagnosis/log.txt (grep -c helps).",
    )


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
