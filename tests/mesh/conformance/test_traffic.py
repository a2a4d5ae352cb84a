"""A case on a mesh: what is sent, what belongs to which step, what is waited for."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from mesh.accesslog import AccessLogRecord
from mesh.conformance import traffic
from mesh.conformance.case import Case
from mesh.conformance.traffic import CaseRun, Mesh
from mesh.testbed.base import Answer
from mesh.testbed.client import NoAnswerError, TestbedError
from mesh.topology import INJECT, Pod

LABELS = {"app": "backend"}
PODS = (
    Pod("backend-v1-x", "tutorial", "backend", "backend-v1", LABELS, "", "", {}),
    Pod("client-v1-x", "tutorial", "client", "client-v1", {}, "", "", {}),
)


@dataclass
class FakeBed:
    """One pod calls one backend; records come as late as ``late`` readings."""

    late: int = 0
    gauge: list[int] = field(default_factory=lambda: [0])
    bare: bool = False
    lines: list[dict[str, Any]] = field(default_factory=list)
    log: list[AccessLogRecord] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def pods(self) -> tuple[Pod, ...]:
        if self.bare:
            PODS[0].labels[INJECT] = "false"
        else:
            PODS[0].labels.pop(INJECT, None)
        return PODS

    def apply(self, what: Any) -> None:
        self.calls.append(f"apply {len(list(what))}")

    def request(self, path: str, *, from_pod: str, headers: dict[str, str], **_: Any) -> Answer:
        if "hold" in headers.get("x-script", ""):
            self.gate.wait(10)
        name = headers.get("x-request-id", "made-by-the-sidecar")
        if path.endswith("/broken"):
            raise NoAnswerError("no answer")
        with self.lock:
            self.lines.append({"pod": PODS[0].name, "request_id": name, "headers": headers})
            sides = [("outbound", from_pod)]
            if not self.bare:
                sides.append(("inbound", PODS[0].name))
            for direction, pod in sides:
                record = AccessLogRecord(pod, direction, request_id=name, path=path)
                self.log.append(record)
        return Answer(200, (), b"")

    def journal(self) -> tuple[dict[str, Any], ...]:
        return tuple(self.lines)

    def access_log(self) -> tuple[AccessLogRecord, ...]:
        self.late -= 1
        return () if self.late > 0 else tuple(self.log)

    def tell(self, pod: str, path: str) -> None:
        self.calls.append(f"{pod} {path}")
        self.gate.set()

    def stats(self, pod: str, pattern: str) -> dict[str, int]:
        self.calls.append(f"stats {pod}")
        value = self.gauge.pop(0) if len(self.gauge) > 1 else self.gauge[0]
        return {"cluster.c.upstream_rq_active": value}


def run(bed: FakeBed, *steps: dict[str, object], mesh: Mesh | None = None) -> CaseRun:
    topology = {"services": {"backend": None, "client": None}, "gateway": False}
    raw = {"name": "x", "topology": topology, "traffic": list(steps)}
    case = CaseRun(mesh or Mesh(bed, "envoy"), Case.model_validate(raw))  # type: ignore[arg-type]
    case.run()
    return case


ASK = {"from": "client", "to": "http://backend:8080/{n}"}


def test_records_belong_to_the_step_of_their_id() -> None:
    bed = FakeBed(late=3)
    seen = run(bed, {**ASK, "count": 2}, ASK, {**ASK, "request_id": False}).seen
    assert [(len(each.answers), len(each.records), each.backends) for each in seen if each] == [
        (2, 4, {"backend-v1": 2}),
        (1, 2, {"backend-v1": 1}),
        (1, 2, {"backend-v1": 1}),
    ]
    assert [row["path"] for row in seen[0].caller] == [  # type: ignore[union-attr]
        "http://backend:8080/1",
        "http://backend:8080/2",
    ]
    assert bed.lines[-1]["request_id"] == "made-by-the-sidecar"


def test_a_broken_connection_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "SETTLE_SECONDS", 0.0)
    seen = run(FakeBed(), {**ASK, "to": "http://backend:8080/broken"}).seen[0]
    assert seen is not None
    assert seen.answers[0]["status"] == "0"


def test_a_pod_without_a_sidecar_logs_nothing() -> None:
    seen = run(FakeBed(bare=True), ASK).seen[0]
    assert seen is not None
    assert (len(seen.records), seen.backends) == (1, {"backend-v1": 1})


def test_what_is_missing_is_not_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "SETTLE_SECONDS", 0.0)
    seen = run(FakeBed(), {**ASK, "expect": {"backends": {"backend-v1": 2}}}).seen[0]
    assert seen is not None
    assert seen.backends == {"backend-v1": 1}


def test_background_requests_are_seen_where_they_are_released() -> None:
    bed = FakeBed(gauge=[0, 0, 2])
    held = {**ASK, "script": [{"hold": "a"}], "background": True}
    wait = {"wait": {"at": "client", "cluster": "c", "stat": "upstream_rq_active", "value": 2}}
    seen = run(bed, held, held, wait, ASK, {"release": "a"}).seen
    assert seen[:3] == [None, None, None]
    assert [len(each.answers) for each in seen if each] == [1, 2]
    assert bed.calls.count("stats client-v1-x") == 3
    assert "backend-v1-x /release/a" in bed.calls


def test_nothing_is_left_hanging_when_an_event_does_not_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traffic, "WAIT_SECONDS", 0.0)
    held = {**ASK, "script": [{"hold": "a"}], "background": True}
    wait = {"wait": {"at": "client", "cluster": "c", "stat": "upstream_rq_active", "value": 2}}
    bed = FakeBed()
    with pytest.raises(TestbedError, match="upstream_rq_active at client is 0, not 2"):
        run(bed, held, wait, {"release": "a"})
    assert bed.gate.is_set()


def test_what_is_in_force_is_not_applied_again() -> None:
    bed = FakeBed()
    mesh = Mesh(bed, "envoy")  # type: ignore[arg-type]
    run(bed, ASK, mesh=mesh)
    run(bed, ASK, mesh=mesh)
    assert bed.calls == ["apply 0"]
    rule = (
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: a}, "
        "spec: {host: backend, trafficPolicy: {outlierDetection: {}}}}"
    )
    run(bed, {"apply": rule}, ASK, mesh=mesh)
    assert bed.calls == ["apply 0", "apply 0", "apply 1"]


def test_a_script_travels_in_a_header() -> None:
    bed = FakeBed()
    run(bed, {**ASK, "script": {"v1": [{"status": 503}]}, "headers": {"x-n": "no {n}"}})
    assert json.loads(bed.lines[0]["headers"]["x-script"]) == {"v1": [{"status": 503}]}
    assert bed.lines[0]["headers"]["x-n"] == "no 1"
