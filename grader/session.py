"""Session: the running half of a lab, a testbed and a load driver side by side.

The driver is started first: it imports Locust in its own process while the mesh starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grader.checks import CheckFile, judge, load_checks
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.lab import LabDefinition
from grader.load.run import Driver
from grader.report.progress import Progress
from grader.result import Result, digest, versions
from mesh.istio.eras import era
from mesh.istio.load import load_text
from mesh.testbed.load_topology import load_topology

if TYPE_CHECKING:
    from grader.run import Options
    from mesh.istio.resource import Resource
    from mesh.testbed.local import LocalTestbed


def local_testbed(definition: LabDefinition, options: Options) -> LocalTestbed:
    """The mesh on this machine, not started yet."""
    from mesh.testbed.local import LocalTestbed

    return LocalTestbed(
        load_topology(definition.topology), engine=options.engine, era=definition.era
    )


class Session:
    """One testbed, one driver, one student's resources."""

    def __init__(
        self,
        definition: LabDefinition,
        options: Options,
        student: tuple[Resource, ...],
        *,
        nonce: str,
    ) -> None:
        self._definition = definition
        self._options = options
        self._student = student
        self._nonce = nonce
        self.checks: CheckFile = load_checks(definition.folder / "checks.py")
        self._driver: Driver | None = None
        self._testbed: LocalTestbed | None = None
        self.lab: Lab | None = None
        self.kept = ""

    @property
    def gateway_url(self) -> str:
        """Where the mesh can be reached from outside."""
        assert self._testbed is not None
        return self._testbed.gateway_url

    def start(self, progress: Progress) -> None:
        """Start driver and mesh at the same time; TestbedError when the mesh does not start."""
        topology = load_topology(self._definition.topology)
        pods = sum(load.replicas for service in topology.services for load in service.workloads)
        with progress.step(f"Starting {pods} pods with their sidecars, and the gateway"):
            self._driver = Driver()
            self._testbed = local_testbed(self._definition, self._options)
            self._testbed.start()
        self.lab = Lab(
            definition=self._definition,
            testbed=self._testbed,
            driver=self._driver,
            student=self._student,
            load_text=self._load,
            nonce=self._nonce,
        )

    def _load(self, text: str) -> tuple[Resource, ...]:
        return tuple(load_text(text, era=era(self._definition.era)).resources)

    def collect(self, progress: Progress) -> None:
        """Run the lab's probes, one after another."""
        assert self.lab is not None
        for item in self.checks.probes:
            with progress.step(item.title):
                self.lab.run_probe(item)
            if "error" in self.lab.notes[item.name]:
                progress.console.print(f"   {self.lab.notes[item.name]['error']}", markup=False)

    def judge(self, files: Sequence[Path], seconds: float) -> tuple[Result, Evidence]:
        """Gather the evidence and judge it."""
        assert self.lab is not None
        evidence = self.lab.evidence()
        result = Result(
            lab=self._definition.number,
            seconds=seconds,
            engine=self._options.engine,
            runtime=self._options.runtime,
            era=self._definition.era,
            seed=self._nonce,
            checks=judge(self.checks.checks, evidence),
            digest=digest(files),
            versions=versions(),
        )
        return result, evidence

    def close(self, *, keep: bool = False) -> None:
        """End driver and mesh, whatever state they are in; ``keep`` lets the mesh live on."""
        try:
            if self._driver:
                self._driver.close()
        finally:
            if self._testbed and self.lab and keep:
                self.lab.apply_student()  # the last probe's routes are not what one wants to see
                self.kept = self._testbed.keep()
            elif self._testbed:
                self._testbed.stop()
