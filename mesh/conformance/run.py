"""Running cases: on a testbed of each engine, then the engines against each other.

Cases with the same topology share a testbed, one after another, unless a backend keeps count;
a case's resources replace those of the case before it, and are in force before anything is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mesh.accesslog import AccessLogRecord
from mesh.conformance.case import GATEWAY, Case, CaseError, Step
from mesh.conformance.compare import differences
from mesh.conformance.expect import failures
from mesh.conformance.observe import Names, Observation, answer_row, backends, record_row
from mesh.istio.eras import era
from mesh.istio.load import load_text
from mesh.istio.problem import has_errors
from mesh.istio.resource import Resource
from mesh.testbed.base import Answer, Testbed
from mesh.topology import Topology

SETTLE_SECONDS = 5.0
"""How long records of answered requests may take to appear in the logs."""


class StartTestbed(Protocol):
    """How a testbed is made."""

    def __call__(self, topology: Topology, /, *, engine: str, era: str) -> Testbed:
        """Return one that is not started yet."""


@dataclass(slots=True)
class EngineResult:
    """A case on one engine; ``steps`` has an observation for each step of the traffic."""

    failures: list[str] = field(default_factory=list)
    steps: list[Observation | None] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(slots=True)
class CaseResult:
    """A case on every engine that was run, and how they differ."""

    file: Path
    case: Case
    engines: dict[str, EngineResult] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True when every expectation holds and no undeclared difference was seen."""
        return not self.differences and not any(each.failures for each in self.engines.values())

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "name": self.case.name,
            "file": str(self.file),
            "passed": self.passed,
            "differences": self.differences,
            "engines": {
                name: {
                    "failures": each.failures,
                    "seconds": round(each.seconds, 3),
                    "steps": [step.as_dict() if step else None for step in each.steps],
                }
                for name, each in self.engines.items()
            },
        }


def run_cases(
    cases: Sequence[tuple[Path, Case]],
    engines: Sequence[str],
    start: StartTestbed,
    progress: Callable[[str], None] = lambda text: None,
) -> list[CaseResult]:
    """Run every case on every engine it is meant for; results in the order of ``cases``."""
    results = [CaseResult(file, case) for file, case in cases]
    groups: dict[str, list[CaseResult]] = {}
    for result in results:
        groups.setdefault(result.case.testbed_key, []).append(result)
    for engine in engines:
        for group in groups.values():
            members = [each for each in group if engine in each.case.engines]
            if members:
                _run_group(members, engine, start, progress)
    for result in results:
        result.differences = _compare(result)
    return results


def _run_group(
    members: list[CaseResult], engine: str, start: StartTestbed, progress: Callable[[str], None]
) -> None:
    first = members[0].case
    with start(first.mesh, engine=engine, era=first.era) as bed:
        for member in members:
            progress(f"{engine}: {member.case.name}")
            member.engines[engine] = run_case(member.case, engine, bed)


def run_case(case: Case, engine: str, bed: Testbed) -> EngineResult:
    """Run a case on a started testbed."""
    result = EngineResult()
    began = time.perf_counter()
    with _noted(result):
        bed.apply(_resources(case, case.resources))
        for number, step in enumerate(case.traffic, 1):
            seen = _step(case, step, bed, engine)
            result.steps.append(seen)
            if seen is not None:
                found = failures(step.expected(engine), seen)
                result.failures += [f"step {number}: {text}" for text in found]
    result.seconds = time.perf_counter() - began
    return result


@contextmanager
def _noted(result: EngineResult) -> Iterator[None]:
    """Make what the testbed could not do a failure of this case: the others still run."""
    from mesh.testbed.client import TestbedError

    try:
        yield
    except TestbedError as error:
        result.failures.append(str(error))


def _resources(case: Case, text: str) -> list[Resource]:
    loaded = load_text(text, f"{case.name}.yaml", era=era(case.era), namespace=case.mesh.namespace)
    if has_errors(loaded.problems):
        raise CaseError(f"{case.name}: {loaded.problems[0]}")
    return loaded.resources


def _step(case: Case, step: Step, bed: Testbed, engine: str) -> Observation | None:
    if step.apply:
        bed.apply(_resources(case, step.apply))
        return None
    if step.kill:
        bed.kill_pod(_pod(bed, step.kill))
        return None
    names = Names.of(bed.pods(), case.mesh.gateway)
    caller = "" if step.source == GATEWAY else _pod(bed, step.source)
    before, old = bed.journal(), bed.access_log()
    answers = _send(bed, step, caller)
    who = names.workload(caller) if caller else GATEWAY
    journal, records = _settle(bed, names, step, engine, who, len(before), old)
    rows = [record_row(each, names) for each in records]
    return Observation(
        answers=[answer_row(each, names) for each in answers],
        records=rows,
        caller=[row for row in rows if row["by"] == f"{who} outbound"],
        backends=backends(journal, names),
    )


def _pod(bed: Testbed, workload: str) -> str:
    """Return the first pod of a workload or service."""
    for pod in bed.pods():
        if workload in (pod.workload, pod.service):
            return pod.name
    raise CaseError(f"no pod of {workload!r} is running")


def _send(bed: Testbed, step: Step, caller: str) -> list[Answer]:
    def one(_: int) -> Answer:
        return bed.request(
            step.to,
            from_pod=caller,
            headers=step.headers,
            method=step.method,
            body=step.body.encode(),
        )

    if step.concurrency == 1:
        return [one(number) for number in range(step.count)]
    with ThreadPoolExecutor(step.concurrency) as pool:
        return list(pool.map(one, range(step.count)))


def _settle(
    bed: Testbed,
    names: Names,
    step: Step,
    engine: str,
    caller: str,
    old_journal: int,
    old: Sequence[AccessLogRecord],
) -> tuple[list[dict[str, Any]], list[AccessLogRecord]]:
    """Return the step's journal and records once all of them are there.

    A sidecar logs when a stream is over, which can be after the client has its answer.  There
    is one caller's record for each request and one inbound record for each request handled;
    the logs are asked again (each time behind a flush) until that is so, or too long.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    skip: dict[str, int] = {}
    for record in old:
        skip[record.pod] = skip.get(record.pod, 0) + 1
    least = {
        workload: wanted if isinstance(wanted, int) else wanted[0]
        for workload, wanted in step.expected(engine).backends.items()
    }
    while True:
        journal = list(bed.journal())[old_journal:]
        records: list[AccessLogRecord] = []
        met: dict[str, int] = {}
        for record in bed.access_log():
            met[record.pod] = met.get(record.pod, 0) + 1
            if met[record.pod] > skip.get(record.pod, 0):
                records.append(record)
        sent = [
            each
            for each in records
            if names.workload(each.pod) == caller and each.direction == "outbound"
        ]
        received = [each for each in records if each.direction == "inbound"]
        handled = backends(journal, names)
        complete = (
            len(sent) >= step.count
            and len(received) >= len(journal)
            and all(handled.get(name, 0) >= count for name, count in least.items())
        )
        if complete or time.monotonic() > deadline:
            return journal, records


def _compare(result: CaseResult) -> list[str]:
    if set(result.engines) != {"mitmproxy", "envoy"}:
        return []
    ours, theirs = result.engines["mitmproxy"], result.engines["envoy"]
    found = []
    pairs = zip(result.case.traffic, ours.steps, theirs.steps, strict=False)
    for number, (step, one, other) in enumerate(pairs, 1):
        if one is not None and other is not None:
            found += [f"step {number}: {text}" for text in differences(step, one, other)]
    return found
