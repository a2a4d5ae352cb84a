"""Lab 4's probes and checks: from plain text to mutual TLS in three steps, without losing a request.

The grader puts the mesh into the state that the task speaks of, lets customers visit, and applies the
student's three files one after another, each on top of what is there, as ``kubectl apply`` does.
Who called is read from the sidecars' access logs, which have the name in the caller's certificate.
The old program is the grader itself: it asks the port of a pod's sidecar directly, in plain text, as
anybody does who has no sidecar.  Nothing here is left to chance, so nothing is a matter of statistics.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.traffic import flagged, too_many_lost
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

SERVICES = ("customer", "preference", "recommendation")
PORTS = (8080, 9090)
NEIGHBOUR = {"customer": "preference", "preference": "customer", "recommendation": "preference"}
"""Whose application asks a service for the grader, by way of its sidecar."""

STEPS = ("step-1", "step-2", "step-3")
DURING = 20
"""Visits answered under each step, beside those that were under way when it came."""

ASKED = 4
"""Requests of the old program to each port, and to the ledger after each step."""

THINK = 0.1
"""Seconds between a visitor's visits: enough traffic, and a processor that is not all busy."""

BEFORE = """\
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: default, namespace: tutorial}
spec: {mtls: {mode: DISABLE}}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: default, namespace: tutorial}
spec:
  host: "*.tutorial.svc.cluster.local"
  trafficPolicy: {tls: {mode: DISABLE}}
"""
STRICT = """\
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: default, namespace: tutorial}
spec: {mtls: {mode: STRICT}}
"""
SPEAKS = """\
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {{name: default, namespace: tutorial}}
spec:
  host: "{host}"
  trafficPolicy: {{tls: {{mode: {mode}}}}}
"""


def plain(lab: Lab, name: str, service: str, port: int) -> tuple[Observation, ...]:
    """Ask a service's port as a program does that has no sidecar."""
    pod = next(each for each in lab.testbed.pods() if each.service == service)
    there = f"http://{pod.address}:{pod.ports[port]}"
    return lab.count(name, ASKED, users=ASKED, host=there, path="/health/ready", connections="new")


def key(resource: Any) -> tuple[str, str, str]:
    """What ``kubectl apply`` tells objects apart by."""
    return resource.kind, resource.namespace, resource.name


@probe
def steps(lab: Lab) -> None:
    """Taking the three steps under load."""
    state = {key(each): each for each in lab.load_text(BEFORE)}
    lab.testbed.apply(tuple(state.values()))
    for step in STEPS:
        stream = lab.stream(step, requests=3000, users=4, think_seconds=THINK)
        try:
            stream.wait_for(10)
            mine = [each for each in lab.student if Path(each.source.file).stem == step]
            state |= {key(each): each for each in mine}
            lab.testbed.apply(tuple(state.values()))
            stream.wait_for(DURING, since=time.time())
        finally:
            lab.record(stream.stop())
        lab.count(f"ledger-{step}", ASKED, **lab.hop("customer", "ledger:8080"))
        plain(lab, f"old-{step}", lab.parameters["open"], lab.parameters["port"])


@probe
def afterwards(lab: Lab) -> None:
    """Looking at what is encrypted now."""
    lab.count("visits", 20)
    for service in SERVICES:
        for port in PORTS:
            plain(lab, f"plain-{service}-{port}", service, port)
            inside = lab.hop(NEIGHBOUR[service], f"{service}:{port}")
            lab.count(f"mesh-{service}-{port}", ASKED, path="/health/ready", **inside)


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    lab.apply_text(STRICT)
    lab.note("predicted", certificate=certificate(lab))
    lab.count("predicted-warm-up", 8)  # connections from before the change may be open still
    lab.count("predicted-visits", 10)
    lab.apply_text(STRICT + "---\n" + SPEAKS.format(host="recommendation", mode="DISABLE"))
    lab.count("predicted-strict", 6, **lab.hop("preference", "recommendation:8080"))
    every = "*.tutorial.svc.cluster.local"
    lab.apply_text(SPEAKS.format(host=every, mode="ISTIO_MUTUAL"))
    lab.count("predicted-ledger", 10, **lab.hop("customer", "ledger:8080"))


def certificate(lab: Lab) -> dict[str, Any]:
    """The certificate that recommendation's sidecar shows to whoever connects."""
    pod = next(each for each in lab.testbed.pods() if each.service == "recommendation")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is only looked at
    context.set_alpn_protocols(["istio"])
    with (
        socket.create_connection((pod.address, pod.ports[8080]), timeout=20) as connection,
        context.wrap_socket(connection) as encrypted,
    ):
        raw = encrypted.getpeercert(binary_form=True)
    assert raw is not None
    found = x509.load_der_x509_certificate(raw)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    life = found.not_valid_after_utc - found.not_valid_before_utc
    return {
        "names": [str(each.value) for each in names],
        "issuer": found.issuer.rfc4514_string(),
        "hours": round(life.total_seconds() / 3600),
    }


def answered(seen: Sequence[Observation]) -> str:
    """``4 x 200`` or ``3 x 200, 1 x no answer``."""
    told = Counter(str(item.status or "no answer") for item in seen)
    return ", ".join(f"{count} x {status}" for status, count in sorted(told.items()))


def callers(evidence: Evidence, seen: Sequence[Observation]) -> dict[str, Counter[str]]:
    """For each service the names in its callers' certificates; ``""`` for plain text."""
    ids = {item.request_id for item in seen}
    found = {service: Counter[str]() for service in SERVICES}
    for line in evidence.access_log:
        service = evidence.pods.get(str(line.get("pod")), {}).get("app", "")
        inbound = line.get("direction") == "inbound" and service in found
        if inbound and line.get("request_id") in ids:
            found[service][str(line.get("downstream_peer_uri_san", ""))] += 1
    return found


@check(points=3, needs=("steps", "afterwards"))
def no_request_is_lost(evidence: Evidence) -> Outcome:
    """While the three steps are taken, every visit is answered; and they lead to mutual TLS."""
    total = 0
    for step in STEPS:
        seen = evidence.probe(step)
        if problem := too_many_lost(seen):
            return ungradable(problem)
        total += len(seen)
        if bad := [item for item in seen if item.status != 200]:
            where = flagged(evidence, bad)[0]
            return failed(
                f"{len(bad)} of {len(seen)} visits failed when {step}.yaml came.",
                help="After each step, every caller must speak what its server takes. Which side can "
                "learn a second language first?",
                evidence=f"the first was answered {bad[0].status}"
                + (f"; {where}" if where else ""),
            )
    if "" in callers(evidence, evidence.probe("visits"))["recommendation"]:
        return failed(
            f"All {total} visits were answered, but the steps do not lead to mutual TLS.",
            help="Standing still is no way. Read the next check.",
        )
    return passed(f"All {total} visits were answered while the mesh learned TLS.")


@check(points=2, needs=("steps", "afterwards"))
def callers_show_who_they_are(evidence: Evidence) -> Outcome:
    """After the last step every sidecar is called with a certificate of the mesh."""
    seen = evidence.probe("visits")
    if problem := too_many_lost(seen):
        return ungradable(problem)
    found = callers(evidence, seen)
    told = "; ".join(
        f"{service} by {', '.join(name.rpartition('/')[2] or 'nobody' for name in sorted(names))}"
        for service, names in found.items()
        if names
    )
    unseen = [service for service, names in found.items() if not names]
    if unseen:
        return failed(
            f"No visit came as far as {unseen[0]}.",
            help="What do its callers speak, and what does it take?",
            evidence=f"visits: {answered(seen)}",
        )
    bare = [service for service, names in found.items() if "" in names]
    if bare:
        return failed(
            f"{', '.join(bare)} still hears plain text from the mesh's own sidecars.",
            help="A server that takes TLS does not make its callers use it: what do their "
            "DestinationRules say?",
            evidence=f"called: {told}",
        )
    for service in SERVICES:
        for port in PORTS:
            seen = evidence.probe(f"mesh-{service}-{port}")
            if problem := too_many_lost(seen):
                return ungradable(problem)
            where = f"{NEIGHBOUR[service]} asked {service} at port {port}"
            if bad := [item for item in seen if item.status != 200]:
                return failed(
                    f"{where} and got: {answered(seen)}.",
                    help="An exception for one who has no certificate must not shut out those who have.",
                    evidence=flagged(evidence, bad)[0],
                )
            if "" in callers(evidence, seen)[service]:
                return failed(
                    f"{where} in plain text.",
                    help="All services and both their ports: also the one that the old program asks.",
                )
    return passed("Every caller showed a certificate.", evidence=f"called: {told}")


@check(points=2, needs=("steps", "afterwards"))
def plain_text_is_refused(evidence: Evidence) -> Outcome:
    """Whoever has no certificate gets no answer, at every port but the old program's."""
    mine = (evidence.parameters["open"], evidence.parameters["port"])
    open_ports = []
    for service in SERVICES:
        for port in PORTS:
            seen = evidence.probe(f"plain-{service}-{port}")
            if not seen:
                return ungradable("no request was sent")
            if (service, port) != mine and any(item.status for item in seen):
                open_ports.append(f"{service}:{port} ({answered(seen)})")
    if open_ports:
        return failed(
            f"{len(open_ports)} of 5 ports answer somebody who has no certificate: "
            f"{', '.join(open_ports)}.",
            help="PERMISSIVE is a step on the way, not the end. And an exception is for one port of "
            "one workload.",
        )
    return passed("The five other ports close the door to plain text.")


@check(points=2, needs=("steps",))
def the_old_program_is_served(evidence: Evidence) -> Outcome:
    """The old program is answered after every step, in plain text."""
    where = f"{evidence.parameters['open']} at port {evidence.parameters['port']}"
    for step in STEPS:
        seen = evidence.probe(f"old-{step}")
        if any(item.status != 200 for item in seen):
            return failed(
                f"After {step}.yaml the old program, which asks {where}, got: {answered(seen)}.",
                help="A PeerAuthentication with a selector may have portLevelMtls.",
            )
    return passed(f"The old program was served by {where} all the time.")


@check(points=1, needs=("steps",))
def the_ledger_is_reached(evidence: Evidence) -> Outcome:
    """The ledger, which has no sidecar, is reached after every step."""
    for step in STEPS:
        seen = evidence.probe(f"ledger-{step}")
        if problem := too_many_lost(seen):
            return ungradable(problem)
        if bad := [item for item in seen if item.status != 200]:
            return failed(
                f"After {step}.yaml customer's requests to the ledger were answered: {answered(seen)}.",
                help="A DestinationRule for all hosts of a namespace is for the ledger, too. The rule "
                "with the longer host wins as a whole.",
                evidence=flagged(evidence, bad)[0],
            )
    return passed("The ledger was reached all the time.")
