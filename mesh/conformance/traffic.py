"""The traffic of a case on one running mesh: its steps one after another, and what came of each.

Every request has an id of its own (``x-request-id``), by which access log records and journal
lines are told apart afterwards: records are read once for many steps.  A sidecar logs when a stream
is over, which can be after the client has its answer; so what is read is complete only when the
caller's record is there for each request and an inbound one for each request handled.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

from mesh.accesslog import AccessLogRecord
from mesh.conformance.case import EGRESS, GATEWAY, Case, CaseError, Step, Wait
from mesh.conformance.observe import (
    Names,
    Observation,
    answer_row,
    backends,
    record_row,
    request_rows,
)
from mesh.conformance.secrets import secret
from mesh.conformance.talking import talk
from mesh.istio.eras import era
from mesh.istio.load import load_text
from mesh.istio.problem import has_errors
from mesh.istio.resource import Resource
from mesh.testbed.base import Answer, Testbed
from mesh.testbed.client import NoAnswerError, TestbedError
from mesh.testbed.draining import LEFT
from mesh.topology import Pod

SETTLE_SECONDS = 5.0
"""How long records of answered requests may take to appear in the logs."""
WAIT_SECONDS = 30.0
"""How long an event may take that a case waits for."""
ID = "x-request-id"
NO_ANSWER = Answer(0, (), b"")
"""The connection broke before the answer, or in the middle of it."""


@dataclass(slots=True)
class Sent:
    """Requests of one step: their ids (none: whatever has no known id) and their answers."""

    number: int
    step: Step
    caller: str
    ids: frozenset[str]
    answers: list[Answer] = field(default_factory=list)
    journal: list[dict[str, Any]] = field(default_factory=list)
    records: list[AccessLogRecord] = field(default_factory=list)


@dataclass(slots=True)
class Mesh:
    """A running mesh and what the cases on it have in common: what is in force, which ids are gone.

    ``resources`` is the text that was applied last.
    """

    bed: Testbed
    engine: str
    resources: str | None = None
    known: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def apply(self, case: Case, text: str) -> None:
        """Put a configuration in force; endpoints that were ejected are healthy again."""
        if text == self.resources:
            return
        if "outlierDetection" in text or "health_checks" in text:
            self.bed.apply([])
        self.resources = None
        self.bed.apply(_resources(case, text))
        self.resources = text


@dataclass(slots=True)
class CaseRun:
    """One case on ``mesh``; ``seen`` has an observation for each step, None where none is due."""

    mesh: Mesh
    case: Case
    seen: list[Observation | None] = field(default_factory=list)
    _open: list[Sent] = field(default_factory=list)
    _flying: list[tuple[Sent, list[Future[Answer]]]] = field(default_factory=list)
    _restarts: list[Future[list[Pod]]] = field(default_factory=list)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(32))

    def run(self) -> None:
        """Run it; TestbedError when the mesh could not do what a step asks for."""
        self.seen = [None] * len(self.case.traffic)
        try:
            self.mesh.apply(self.case, self.case.resources)
            for number, step in enumerate(self.case.traffic):
                self._step(number, step)
            for restart in self._restarts:
                restart.result()
            self._settle()
        finally:
            for step in self.case.traffic:
                if step.release and self._flying:
                    self._release(step.release)
            self._pool.shutdown()

    def _step(self, number: int, step: Step) -> None:
        if step.to:
            self._request(number, step)
        elif step.apply is not None:
            self._settle()
            self.mesh.apply(self.case, step.apply)
        elif step.kill:
            self._settle()
            self.mesh.bed.kill_pod(self._pod(step.kill))
        elif step.restart:
            self._restart(step.restart)
        elif step.wait is not None:
            self._wait(step.wait)
        elif step.tell:
            self._tell(step.tell)
        elif step.talk:
            self._talk(number, step)
        else:
            self._land(number, step)

    def _request(self, number: int, step: Step) -> None:
        bed = self.mesh.bed
        caller = "" if step.source == GATEWAY else self._pod(step.source)
        headers = dict(step.headers)
        if step.script is not None:
            headers["x-script"] = json.dumps(step.script)
        given = [self._id(step, each) for each in range(1, step.count + 1)]
        if not step.request_id:
            self._settle()

        def one(index: int) -> Answer:
            count = str(index + 1)
            own = {name: value.replace("{n}", count) for name, value in headers.items()}
            if given[index]:
                own[ID] = given[index]
            try:
                return bed.request(
                    step.to.replace("{n}", count),
                    from_pod=caller,
                    headers=own,
                    method=step.method,
                    body=step.body.replace("{n}", count).encode(),
                )
            except NoAnswerError:
                return NO_ANSWER

        sent = Sent(number, step, caller, frozenset(filter(None, given)))
        if step.background:
            futures = [self._pool.submit(one, index) for index in range(step.count)]
            self._flying.append((sent, futures))
            return
        if step.concurrency == 1:
            sent.answers = [one(index) for index in range(step.count)]
        else:
            with ThreadPoolExecutor(step.concurrency) as pool:
                sent.answers = list(pool.map(one, range(step.count)))
        self._open.append(sent)
        if not step.request_id:
            self._settle()

    def _id(self, step: Step, number: int) -> str:
        """Return the id of a request; none when the sidecar is to make one."""
        if not step.request_id:
            return ""
        return step.headers.get(ID) or f"conform-{next(self.mesh.numbers)}-{number}"

    def _wait(self, wait: Wait) -> None:
        """Ask for a statistic until it has the value; TestbedError when that takes too long."""
        bed = self.mesh.bed
        pod = self.case.mesh.gateway if wait.at == GATEWAY else self._pod(wait.at)
        name = f"cluster.{wait.cluster}.{wait.stat}"
        deadline = time.monotonic() + WAIT_SECONDS
        while (value := bed.stats(pod, f"^{re.escape(name)}$").get(name)) != wait.value:
            if time.monotonic() > deadline:
                raise TestbedError(f"{name} at {wait.at} is {value}, not {wait.value}")

    def _restart(self, workload: str) -> None:
        """Replace a pod; return when the old one gets no new requests, while it finishes the others."""
        left = Event()

        def told(text: str) -> None:
            if text.endswith(LEFT):
                left.set()

        done = self._pool.submit(self.mesh.bed.restart, self._pod(workload), told=told)
        done.add_done_callback(lambda _: left.set())
        self._restarts.append(done)
        left.wait()

    def _land(self, number: int, step: Step) -> None:
        """Release what background requests wait for, and take their answers."""
        self._release(step.release)
        flying, self._flying = self._flying, []
        ids = frozenset(each for sent, _ in flying for each in sent.ids)
        landed = Sent(number, step, flying[0][0].caller if flying else "", ids)
        landed.answers = [future.result() for _, futures in flying for future in futures]
        self._open.append(landed)

    def _release(self, name: str) -> None:
        for pod in self.mesh.bed.pods():
            with suppress(NoAnswerError):  # an application that refuses connections holds nothing
                self.mesh.bed.tell(pod.name, f"/release/{name}")

    def _talk(self, number: int, step: Step) -> None:
        """Talk on a connection of its own; all that is logged meanwhile belongs to it."""
        self._settle()
        bed = self.mesh.bed
        caller = "" if step.source == GATEWAY else self._pod(step.source)
        name = f"conform-{next(self.mesh.numbers)}"
        done = talk(bed, caller, step, name, self._wait)
        self.mesh.known |= {each.request_id for each in done.records} - {""}
        names = Names.of(bed.pods(), self.case.mesh)
        sent = Sent(number, step, caller, frozenset((name,)), [], done.journal, done.records)
        rows = [
            {"number": str(place), "took": names.clean(text)}
            for place, text in enumerate(done.took, 1)
        ]
        self.seen[number] = replace(_observation(sent, names), answers=rows)

    def _tell(self, told: Mapping[str, str]) -> None:
        for workload, path in told.items():
            pod = self._pod(workload)
            answer = self.mesh.bed.tell(pod, path)
            if answer.status >= 400:
                raise TestbedError(f"{pod} answered {answer.status} to {path}")

    def _pod(self, workload: str) -> str:
        """Return the first pod of a workload or service."""
        for pod in self.mesh.bed.pods():
            if workload in (pod.workload, pod.service):
                return pod.name
        raise CaseError(f"no pod of {workload!r} is running")

    def _settle(self) -> None:
        """Make observations of what was sent, once all of its records are there."""
        due, self._open = self._open, []
        if not due:
            return
        names = Names.of(self.mesh.bed.pods(), self.case.mesh)
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            self._read(due)
            complete = all(self._complete(sent, names) for sent in due)
            if complete or time.monotonic() > deadline:
                break
        for sent in due:
            self.mesh.known |= sent.ids
            self.mesh.known |= {each.request_id for each in sent.records}
            self.seen[sent.number] = _observation(sent, names)

    def _read(self, due: list[Sent]) -> None:
        owner = {each: sent for sent in due for each in sent.ids}
        unknown = next((sent for sent in due if not sent.ids), None)
        journal, log = self.mesh.bed.journal(), self.mesh.bed.access_log()
        for sent in due:
            sent.journal, sent.records = [], []
        for line in journal:
            name = str(line.get("request_id", ""))
            found = owner.get(name) or (None if name in self.mesh.known else unknown)
            if found is not None:
                found.journal.append(line)
        for record in log:
            name = record.request_id
            found = owner.get(name) or (None if name in self.mesh.known else unknown)
            if found is not None:
                found.records.append(record)

    def _complete(self, sent: Sent, names: Names) -> bool:
        """Tell whether every record is there that has to come."""
        caller = names.workload(sent.caller) if sent.caller else GATEWAY
        outbound = [
            each
            for each in sent.records
            if each.direction == "outbound" and names.workload(each.pod) == caller
        ]
        inbound = sum(each.direction == "inbound" for each in sent.records)
        left = sum(names.workload(each.pod) == EGRESS for each in sent.records)
        if sent.step.expect.egress and left < len(sent.answers):
            return False
        logged = sum(line["pod"] not in names.bare for line in sent.journal)
        handled = backends(sent.journal, names)
        least = {
            workload: wanted if isinstance(wanted, int) else wanted[0]
            for workload, wanted in sent.step.expected(self.mesh.engine).backends.items()
        }
        return (
            len(outbound) >= len(sent.answers)
            and inbound >= logged
            and all(handled.get(workload, 0) >= count for workload, count in least.items())
        )


def _observation(sent: Sent, names: Names) -> Observation:
    rows = [record_row(each, names) for each in sent.records]
    caller = names.workload(sent.caller) if sent.caller else GATEWAY
    return Observation(
        answers=[answer_row(each, names) for each in sent.answers],
        records=rows,
        caller=[row for row in rows if row["by"] == f"{caller} outbound"],
        backends=backends(sent.journal, names),
        requests=request_rows(sent.journal, names),
    )


def _resources(case: Case, text: str) -> list[Resource]:
    text += "".join(
        secret(name, case.mesh.namespace, host) for name, host in case.certificates.items()
    )
    loaded = load_text(text, f"{case.name}.yaml", era=era(case.era), namespace=case.mesh.namespace)
    if has_errors(loaded.problems):
        raise CaseError(f"{case.name}: {loaded.problems[0]}")
    return loaded.resources
