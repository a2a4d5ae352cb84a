"""Running cases: on a testbed of each engine, then the engines against each other.

Cases with the same topology share a testbed, one after another, unless a backend keeps count;
a case's resources replace those of the case before it, and are in force before anything is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mesh.conformance.case import Case
from mesh.conformance.compare import differences
from mesh.conformance.expect import failures
from mesh.conformance.observe import Observation
from mesh.conformance.traffic import CaseRun, Mesh
from mesh.testbed.base import Testbed
from mesh.testbed.client import TestbedError
from mesh.topology import Topology


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
        mesh = Mesh(bed, engine)
        for member in members:
            progress(f"{engine}: {member.case.name}")
            member.engines[engine] = run_case(member.case, mesh)


def run_case(case: Case, mesh: Mesh) -> EngineResult:
    """Run a case on a running mesh."""
    result = EngineResult()
    began = time.perf_counter()
    run = CaseRun(mesh, case)
    try:
        run.run()
    except TestbedError as error:  # a failure of this case: the others still run
        result.failures.append(str(error))
    result.steps = run.seen
    for number, (step, seen) in enumerate(zip(case.traffic, run.seen, strict=False), 1):
        if seen is not None:
            found = failures(step.expected(mesh.engine), seen)
            result.failures += [f"step {number}: {text}" for text in found]
    result.seconds = time.perf_counter() - began
    return result


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
