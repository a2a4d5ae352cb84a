"""How much was kept of each event of lab 15's storm, and the verdict about it.

A level is read from the recorded evidence: of so many requests so many came out right, and so many do
so with the starter (the baseline).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from grader.crowd import MOST
from grader.evidence.level import Level, level
from grader.evidence.record import Evidence
from grader.evidence.traffic import flagged, too_many_lost
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

CALLS = 30
CONNECTIONS = 4
"""So many connections are none too many for ``CALLS`` calls of two pods."""


def tries(evidence: Evidence, item: Observation, pod: str = "recommendation") -> int:
    """How often pods whose names begin so got a request; those that are gone count."""
    return sum(
        1
        for line in evidence.journal
        if line.get("request_id") == item.request_id and str(line.get("pod")).startswith(pod)
    )


def answered(evidence: Evidence, *names: str, said: str) -> list[tuple[bool, str]]:
    """A mark for each request of the probes, which is right when it was answered 200."""
    return [
        (item.status == 200, f"{said} was answered {item.status or 'nothing in time'}")
        for name in names
        for item in evidence.probe(name)
    ]


def so_often(times: int) -> str:
    """``once``, ``twice``, ``3 times``."""
    return {1: "once", 2: "twice"}.get(times, f"{times} times")


def of_loss(evidence: Evidence) -> Level:
    """GETs whose answers are lost, and two for which there is none."""
    most = evidence.parameters["losses"]
    marks = [
        mark
        for times in range(1, most + 1)
        for mark in answered(
            evidence, f"loss-{times}", said=f"A GET whose answer was lost {so_often(times)}"
        )
    ]
    for item in evidence.probe("loss-of-all"):
        count = tries(evidence, item)
        marks.append((count <= most + 1, f"A GET that nobody can answer was sent {count} times"))
    return level(marks, 6 / len(marks))


def of_orders(evidence: Evidence) -> Level:
    """POSTs: one try each."""
    marks = []
    for name in ("order-lost", "order"):
        for item in evidence.probe(name):
            count = tries(evidence, item)
            right = count == 1 and (name == "order-lost" or item.status == 200)
            marks.append((right, f"An order reached recommendation {count} times"))
    return level(marks, 2 / len(marks))


def of_latency(evidence: Evidence) -> Level:
    """Requests whose tries hang."""
    marks = answered(evidence, "hung-twice", said="A GET whose first two tries hung")
    marks += [
        (not item.slow, "An order that nobody answers kept its caller waiting")
        for item in evidence.probe("order-hung")
    ]
    return level(marks, 0.0)


def of_bandwidth(evidence: Evidence) -> Level:
    """Big answers: so many, and no more."""
    wanted, seen = evidence.parameters["tokens"], evidence.probe("bandwidth")
    counted = Counter(item.status for item in seen)
    kept = min(counted[200], wanted) + min(counted[429], len(seen) - wanted)
    said = f"archive gave {counted[200]} big answers and refused {counted[429]} (429)"
    return Level(kept, len(seen), wanted / len(seen), said)


def of_security(evidence: Evidence) -> Level:
    """Peers to refuse, and friends to serve."""
    words = {
        "plain": "A peer without a certificate",
        "other-authority": "A peer with a forged certificate",
        "expired": "A peer with an expired certificate",
        "valid": "A peer with a good certificate",
    }
    marks = [
        (
            (status == 200) == (name == "valid"),
            f"{words[name]} asked {service}: {status or 'no answer'}",
        )
        for service, found in evidence.notes["security"]["peers"].items()
        for name, status in found.items()
    ]
    marks += [
        (item.status != 200, "customer, which has a certificate, was answered by recommendation")
        for item in evidence.probe("neighbour")
    ]
    marks += answered(evidence, "friend", said="A request of preference to recommendation")
    marks += answered(evidence, "visits", said="A visit at the gateway")
    return level(marks, 1 - 6 / len(marks))


def of_topology(evidence: Evidence) -> Level:
    """Requests while pods are away."""
    marks = answered(evidence, "all-there", said="A GET with all pods there")
    for version in ("v1", "v2"):
        marks += answered(evidence, f"without-{version}", said=f"A GET while {version} was away")
    return level(marks, 16 / len(marks))


def of_administrator(evidence: Evidence) -> Level:
    """Requests under another's rule."""
    said = "A GET, with a rule of the namespace ops in the mesh,"
    return level(answered(evidence, "second-administrator", said=said), 0.0)


def of_transport(evidence: Evidence) -> Level:
    """Calls that found a connection open."""
    opened = int(evidence.notes["transport"]["opened"])
    kept = max(0, min(CALLS - CONNECTIONS, CALLS - opened))
    marks = answered(evidence, "calls", said="A call")
    unanswered = [said for right, said in marks if not right]
    if unanswered:
        return Level(0, CALLS - CONNECTIONS, 0.0, unanswered[0])
    return Level(kept, CALLS - CONNECTIONS, 0.0, f"{CALLS} calls opened {opened} connections")


def of_stack(evidence: Evidence) -> Level:
    """Requests beside a pod that speaks something else."""
    wanted, v1 = evidence.parameters["errors"], "recommendation-v1"
    marks = answered(
        evidence, "stack-blip", "stack-sick", said="A GET that v1 answered with no HTTP"
    )
    well = evidence.probe("stack-well")
    asked = any(tries(evidence, item, v1) for item in well)
    said = f"v1 was well again after {wanted - 1} errors, and a GET was kept from it"
    marks += [(item.status == 200 and asked, said) for item in well]
    count = sum(tries(evidence, item, v1) for item in evidence.probe("stack-sick"))
    marks += [(count == wanted, f"v1 was left out after {count} errors")]
    for item in evidence.probe("stack-left-out"):
        again = tries(evidence, item, v1)
        said = "v1 was asked on and on" if again else f"A GET was answered {item.status}"
        marks.append((item.status == 200 and not again, said))
    return level(marks, (len(well) + 1) / len(marks))


def of_crowd(evidence: Evidence) -> Level:
    """Held requests: under way, waiting, refused."""
    found, own = evidence.notes["crowd"], evidence.parameters
    wanted = {"served": own["connections"], "waiting": own["pending"], "refused": 2}
    kept = sum(min(found[name], count) for name, count in wanted.items())
    total = max(sum(wanted.values()), sum(found.values()))
    said = f"{found['served']} were under way, {found['waiting']} waited, {found['refused']} were refused"
    if found["answered"]:
        said += f", {found['answered']} did not come to recommendation"
    return Level(kept, total, own["connections"] / MOST, said)


EVENTS: dict[str, Callable[[Evidence], Level]] = {
    "loss": of_loss,
    "orders": of_orders,
    "latency": of_latency,
    "bandwidth": of_bandwidth,
    "security": of_security,
    "topology": of_topology,
    "administrator": of_administrator,
    "transport": of_transport,
    "stack": of_stack,
    "crowd": of_crowd,
}
"""How each event's level is read from the evidence; the baselines are what the starter keeps."""


def locked_out(evidence: Evidence) -> str:
    """What to look at first when nobody is served at all: then no single event is to blame."""
    seen = evidence.probe("all-there")
    if not seen or any(item.status == 200 for item in seen):
        return ""
    if seen[0].status == 403:
        return (
            "Not one GET of preference is let in, not even in quiet times: 403 is what an "
            "AuthorizationPolicy answers. Mend security.yaml first."
        )
    return (
        "Not one GET of preference is answered, not even in quiet times. Mend that first: keep the mesh "
        "(KEEP=1), and `meshctl explain http://recommendation:8080/ --from preference` says at which "
        "hop it ends."
    )


def overflowed(evidence: Evidence, items: Sequence[Observation]) -> bool:
    """Whether the caller's circuit breaker refused one of ``items``."""
    ids = {item.request_id for item in items}
    return any(
        line.get("request_id") in ids and "UO" in str(line.get("response_flags", ""))
        for line in evidence.access_log
    )


def judged(
    evidence: Evidence, event: str, probes: tuple[str, ...], said: str, help: str
) -> Outcome:
    """Pass when all was kept that can be."""
    for name in probes:
        if problem := too_many_lost(evidence.probe(name)):
            return ungradable(problem)
    found = EVENTS[event](evidence)
    line = f"{found.kept} of {found.of} kept; the starter keeps {found.baseline:.0%}"
    if found.kept == found.of:
        return passed(said, evidence=line)
    if event != "security" and not (event == "bandwidth" and found.kept):
        help = locked_out(evidence) or help
    items = [item for name in probes for item in evidence.probe(name)]
    if overflowed(evidence, items):
        help = (
            "A circuit breaker refused some of these (flag UO), with two callers at a time: its limits are "
            "the crowd's, event 9."
        )
    where = flagged(evidence, items)[0]
    return failed(f"{found.wrong}.", help=help, evidence=line + (f"; {where}" if where else ""))


def spent(evidence: Evidence, name: str) -> str:
    """What a probe's requests cost: records of sidecars, and bytes of answers."""
    seen = evidence.probe(name)
    ids = {item.request_id for item in seen}
    lines = [line for line in evidence.access_log if line.get("request_id") in ids]
    size = sum(int(line.get("bytes_sent", 0)) for line in lines if line["direction"] == "outbound")
    return f"{len(lines)} records, {size} bytes"
