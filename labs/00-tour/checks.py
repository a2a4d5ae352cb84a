"""Lab 0's probes and checks: the way in, tries by the mesh, a pod that is killed, no control plane.

recommendation answers as each request asks it to (``services.scripted``, header ``x-script``); v1
and v2 can be told different things, so "one pod is sick, the other is well" needs no chance.  Tries
are counted in the journals.  What has to be predicted is measured on the grader's own configuration.
"""

from __future__ import annotations

import json
import socket
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.traffic import flagged, refused, split, too_many_lost
from grader.load.observation import Observation
from grader.verdict import Outcome, failed, passed, ungradable

COUNT = 8
CALLERS = ("shop", "reports")
SICK_V1 = {"v1": [{"status": 500}], "v2": [{}]}
DYING_V1 = {"v1": [{"reset": True}], "v2": [{}]}
SLOW_V1 = {"v1": [{"delay": 0.4}], "v2": [{}]}
ALWAYS_500 = [{"status": 500}]

GRADERS = """\
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata: {{name: graders-door, namespace: tutorial}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: graders-door, namespace: tutorial}}
spec:
  hosts: ["*"]
  gateways: [graders-door]
  http:
    - match: [{{uri: {{prefix: /reports}}}}]
      route: [{{destination: {{host: reports}}}}]
      retries: {{attempts: 0}}
    - route: [{{destination: {{host: shop}}}}]
      retries: {{attempts: 0}}
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: graders-recommendation, namespace: tutorial}}
spec:
  hosts: [recommendation]
  http:
    - route: [{{destination: {{host: recommendation}}}}]
      retries: {{{retries}}}
"""
"""A way in, and how recommendation is tried again; nothing else is."""


def graders(attempts: int) -> str:
    """The grader's own configuration with that many further tries of recommendation."""
    tries = f"attempts: {attempts}, retryOn: 5xx" if attempts else "attempts: 0"
    return GRADERS.format(retries=tries)


def door_is_open(lab: Lab) -> bool:
    """Whether the gateway listens at all: its port is held, so a closed one refuses at once."""
    place = urlsplit(lab.testbed.gateway_url)
    with socket.socket() as client:
        return client.connect_ex((place.hostname or "", place.port or 0)) == 0


def ask(lab: Lab, name: str, caller: str, script: object, count: int = COUNT) -> None:
    """Send ``count`` requests to recommendation as the application of ``caller`` would."""
    hop = lab.hop(caller, "recommendation:8080", {"x-script": json.dumps(script)})
    lab.count(f"{name}-{caller}", count, users=4, **hop)


@probe
def doors(lab: Lab) -> None:
    """Coming in as customers do."""
    lab.apply_student()
    is_open = door_is_open(lab)
    lab.note("doors", open=is_open)
    if is_open:
        path = lab.parameters["path"]
        for name, target in (
            ("home", "/"),
            ("about", "/about"),
            ("at", path),
            ("below", f"{path}/may"),
        ):
            lab.count(f"door-{name}", 10, path=target)
        lab.note("share", split=split(lab.observations))


@probe
def tries(lab: Lab) -> None:
    """Failing, and dying in the middle of a request."""
    for caller in CALLERS:
        ask(lab, "sick", caller, SICK_V1)
        ask(lab, "dying", caller, DYING_V1)
        ask(lab, "always", caller, ALWAYS_500, count=2)


@probe
def killed(lab: Lab) -> None:
    """Killing a pod of recommendation under load.

    It is slow, so that it works on requests when it dies: most of the eight callers wait for it then.
    """
    hop = lab.hop("shop", "recommendation:8080", {"x-script": json.dumps(SLOW_V1)})
    stream = lab.stream("killed", requests=100_000, users=8, think_seconds=0.02, **hop)
    try:
        stream.wait_for(40)
        old = next(
            pod
            for pod in lab.testbed.pods()
            if pod.service == "recommendation" and pod.labels["version"] == "v1"
        )
        new = lab.testbed.kill_pod(old.name)
        stream.wait_for(40)
    finally:
        lab.record(stream.stop())
    lab.note("killed", old=old.name, new=new.name)


@probe
def headless(lab: Lab) -> None:
    """Killing the control plane, and starting it again."""
    from mesh.testbed.client import TestbedError

    lab.apply_text(graders(lab.parameters["attempts"]))
    lab.testbed.kill_pilot()
    try:
        try:
            lab.testbed.apply([graders(0)])
            applied = True
        except TestbedError:
            applied = False
        lab.note("headless", apply_refused=not applied)
        lab.count("headless", 20)
    finally:
        lab.testbed.start_pilot()


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    always = {"x-script": json.dumps(ALWAYS_500)}
    lab.apply_text(graders(lab.parameters["attempts"]))
    lab.count("predicted-plain", 1)
    lab.count("predicted-both", 1, path="/?by-hand=1", headers=always)
    lab.apply_text(graders(0))
    lab.count("predicted-reports", 1, path="/reports?by-hand=1", headers=always)
    # What a hop costs: the same answer with the mesh in between, for the chapter's table.
    lab.count("hop", 40, users=1, **lab.hop("shop", "recommendation:8080"))


def received(evidence: Evidence, seen: tuple[Observation, ...]) -> list[int]:
    """How often pods of recommendation, killed ones too, got each of the requests."""
    counted: Counter[str] = Counter(
        str(line.get("request_id", ""))
        for line in evidence.journal
        if str(line.get("pod", "")).startswith("recommendation-")
    )
    return [counted[item.request_id] for item in seen]


def answered_by(seen: tuple[Observation, ...], service: str) -> str:
    """What is wrong with answers that ``service`` should have given; ``""`` when nothing is."""
    for item in seen:
        if item.status != 200 or not item.body.startswith(f"{service} => "):
            said = f"{item.status}, {item.body.strip()[:60]!r}" if item.body else str(item.status)
            return f"answered with {said}"
    return ""


def told(evidence: Evidence, name: str) -> str:
    """Statuses, tries and flags of a probe, for each caller, in one line."""
    parts = []
    for caller in CALLERS:
        seen = evidence.probe(f"{name}-{caller}")
        statuses = ", ".join(f"{n} x {code}" for code, n in Counter(i.status for i in seen).items())
        parts.append(f"{caller}: {statuses}, tries {sorted(set(received(evidence, seen)))}")
    return "; ".join(parts)


@check(points=2, needs=("doors",))
def customers_come_in(evidence: Evidence) -> Outcome:
    """Customers reach shop through the gateway."""
    if not evidence.notes["doors"].get("open"):
        return failed(
            "The gateway listens at no port 80.",
            help="A Gateway has a selector (istio: ingressgateway) and a server for each port.",
        )
    for name in ("door-home", "door-about"):
        seen = evidence.probe(name)
        if problem := too_many_lost(seen):
            return ungradable(problem)
        if wrong := answered_by(seen, "shop"):
            path = "/" if name == "door-home" else "/about"
            where = flagged(evidence, seen)[0]
            return failed(
                f"A request for {path} was {wrong}; shop should have answered.",
                help="The last rule of the VirtualService has no match and leads to shop.",
                evidence=where,
            )
    return passed("shop answered all of them.")


@check(points=2, needs=("doors",))
def the_path_decides(evidence: Evidence) -> Outcome:
    """Requests below the task's path are answered by reports, and by nobody else."""
    path = evidence.parameters["path"]
    if not evidence.notes["doors"].get("open"):
        return failed("The gateway listens at no port 80.", help="First let customers in.")
    for name, target in (("door-at", path), ("door-below", f"{path}/may")):
        seen = evidence.probe(name)
        if problem := too_many_lost(seen):
            return ungradable(problem)
        if wrong := answered_by(seen, "reports"):
            return failed(
                f"A request for {target} was {wrong}; reports should have answered.",
                help="Rules are tried from above; the first whose match fits takes the request.",
                evidence=flagged(evidence, seen)[0],
            )
    return passed(f"{path} and what lies below it is answered by reports.")


@check(points=3, needs=("tries",))
def the_mesh_tries_again(evidence: Evidence) -> Outcome:
    """A request answered with a 5xx is tried again, as often as the task says, whoever asked."""
    for caller in CALLERS:
        seen, always = evidence.probe(f"sick-{caller}"), evidence.probe(f"always-{caller}")
        if problem := too_many_lost(seen) or too_many_lost(always):
            return ungradable(problem)
        if problem := refused(evidence, seen):
            return failed(
                f"One of two pods was sick, and for {caller} {problem}.",
                help="Which answers count as a failure? retryOn says it; 500 is a 5xx.",
                evidence=told(evidence, "sick"),
            )
        wanted = evidence.parameters["tries"]
        if wrong := [count for count in received(evidence, always) if count != wanted]:
            return failed(
                f"A request of {caller} that always fails was tried {wrong[0]} times in all, the "
                f"task asks for {wanted}.",
                help="attempts counts the further tries; the first one is not among them.",
                evidence=told(evidence, "always"),
            )
    return passed("Both stacks get the same tries.", evidence=told(evidence, "always"))


@check(points=3, needs=("tries", "killed"))
def a_dying_pod_harms_nobody(evidence: Evidence) -> Outcome:
    """A request whose pod dies is answered by another pod, and none fails while a pod is killed."""
    for caller in CALLERS:
        seen = evidence.probe(f"dying-{caller}")
        if problem := too_many_lost(seen):
            return ungradable(problem)
        if problem := refused(evidence, seen):
            return failed(
                f"A pod broke the connection in the middle of a request, and for {caller} {problem}.",
                help="Where the application breaks off, its sidecar answers 503; where the whole pod is gone, "
                "the connection is reset. Does retryOn count both?",
                evidence=told(evidence, "dying"),
            )
    stream = evidence.probe("killed")
    if problem := too_many_lost(stream):
        return ungradable(problem)
    if problem := refused(evidence, stream):
        return failed(
            f"While a pod of recommendation was killed, {problem}.",
            help="The requests that the pod was working on must be tried again elsewhere.",
        )
    old, new = evidence.notes["killed"]["old"], evidence.notes["killed"]["new"]
    return passed(
        f"{old} was killed under load, {new} took its place, {len(stream)} of {len(stream)} requests "
        "were answered."
    )


def costs(evidence: Evidence) -> dict[str, Any]:
    """Milliseconds of one hop, through two sidecars: median and worst of the run."""
    times = sorted(item.seconds * 1000 for item in evidence.probe("hop"))
    return {"median": times[len(times) // 2], "worst": times[-1]} if times else {}
