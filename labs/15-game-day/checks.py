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

import http.client
import json
import socket
import ssl
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from grader.checks import check, probe
from grader.collect import Lab
from grader.crowd import MOST, crowd_of, until
from grader.evidence.level import Level, level
from grader.evidence.record import Evidence
from grader.evidence.traffic import flagged, split, too_many_lost
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable
from mesh.citadel.authority import Authority, make_authority, pem
from mesh.testbed.client import TestbedError

HUNG = 20
"""Seconds for which a try hangs: longer than any caller of these tasks waits."""

SLACK = 3
"""Seconds that a busy machine may add to a caller's patience."""

CALLS = 30
CONNECTIONS = 4
"""So many connections are none too many for ``CALLS`` calls of two pods."""

SURPLUS = 8
"""Big answers that are asked for beyond what archive gives."""

EJECTED = (
    r"cluster\.outbound\|8080\|[^|]*\|recommendation\..*\.outlier_detection\.ejections_active$"
)
OPENED = r"cluster\.outbound\|8080\|[^|]*\|recommendation\..*\.upstream_cx_total$"

OTHER_STACK = [{"raw": "* OK IMAP4rev1 service ready\r\n"}]
"""What v1 says since it was moved: no HTTP at all."""

SECOND_ADMIN = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: maintenance, namespace: ops}
spec:
  hosts: [recommendation.tutorial.svc.cluster.local]
  http:
    - fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
      route: [{destination: {host: recommendation.tutorial.svc.cluster.local}}]
"""
PLAIN_ROUTE = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: grader-recommendation, namespace: tutorial}
spec:
  hosts: [recommendation]
  http:
    - route: [{destination: {host: recommendation}}]
      retries: {attempts: 0}
"""
ALWAYS_503 = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: grader-recommendation, namespace: tutorial}}
spec:
  hosts: [recommendation]
  http:
    - route: [{{destination: {{host: recommendation}}}}]
      headers: {{request: {{set: {{x-script: '[{{"status": 503}}]'}}}}}}
      retries: {{attempts: {again}, retryOn: 5xx}}
"""
PERMISSIVE = """\
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: default, namespace: tutorial}
spec: {mtls: {mode: PERMISSIVE}}
"""


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


# Peers that come to a pod's port by themselves.


def peers(lab: Lab, service: str) -> dict[str, int]:
    """What four peers are answered that all say they are preference; 0: nothing."""
    now = datetime.now(UTC)
    try:
        kept = next(lab.testbed.run.path.glob("**/citadel/authority-*.pem"))
        mesh = Authority.from_pem(kept.read_bytes())
    except (OSError, StopIteration):
        raise TestbedError(
            "the mesh's authority cannot be read, so nothing can be forged"
        ) from None
    day, hour = timedelta(days=1), timedelta(hours=1)
    return {
        "plain": peer(lab, service, None),
        "other-authority": peer(
            lab, service, certificate(make_authority(mesh.name, now), now - hour, now + day)
        ),
        "expired": peer(lab, service, certificate(mesh, now - 2 * day, now - day)),
        "valid": peer(lab, service, certificate(mesh, now - hour, now + day)),
    }


def certificate(authority: Authority, begins: datetime, ends: datetime) -> bytes:
    """A certificate with preference's name, its chain and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = "spiffe://cluster.local/ns/tutorial/sa/preference"
    signed = authority.sign(key.public_key(), (name,), begins, ends)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem(signed) + pem(authority.issuing) + private


def peer(lab: Lab, service: str, shown: bytes | None) -> int:
    """Ask a pod's port over TLS, or in plain text when no certificate is shown; the status or 0."""
    pod = next(each for each in lab.testbed.pods() if each.service == service)
    message = (
        f"GET /health/ready HTTP/1.1\r\nhost: {service}:8080\r\nconnection: close\r\n"
        "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/tutorial/sa/preference\r\n\r\n"
    )
    try:
        with socket.create_connection((pod.address, pod.ports[8080]), timeout=20) as plain:
            connection = plain if shown is None else encrypted(plain, shown)
            with connection:
                connection.sendall(message.encode())
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                return answer.status
    except (OSError, http.client.HTTPException):
        return 0


def encrypted(plain: socket.socket, shown: bytes) -> ssl.SSLSocket:
    """TLS as a sidecar speaks it, with the certificate ``shown``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a forger checks nothing
    context.set_alpn_protocols(["istio"])
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(shown)
        file.flush()
        context.load_cert_chain(file.name)
    return context.wrap_socket(plain)


# What was kept.


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


def spent(evidence: Evidence, name: str) -> str:
    """What a probe's requests cost: records of sidecars, and bytes of answers."""
    seen = evidence.probe(name)
    ids = {item.request_id for item in seen}
    lines = [line for line in evidence.access_log if line.get("request_id") in ids]
    size = sum(int(line.get("bytes_sent", 0)) for line in lines if line["direction"] == "outbound")
    return f"{len(lines)} records, {size} bytes"


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
