"""Session: the running half of a lab, a testbed and a load driver side by side.

The driver is started first: it imports Locust in its own process while the mesh starts.  One
session can judge many answers to the same lab, one after another (``begin``): a whole
configuration takes the place of the one before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grader.answers import Answers, load_questions
from grader.checks import CheckFile, Probe, judge, judge_answers, load_answer_checks, load_checks
from grader.cluster import KUBERNETES, make_cluster
from grader.collect import Lab
from grader.diagnosis import PROBE, diagnose, load_broken
from grader.evidence.record import Evidence
from grader.fence.hand_in import HandIn, has_code
from grader.foreign import foreign_set
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
    from mesh.testbed.base import Testbed


def make_testbed(
    definition: LabDefinition, options: Options, hand_in: HandIn | None = None
) -> Testbed:
    """The lab's mesh, not started yet, on its runtime; ``hand_in``: with the student's code in it."""
    from mesh.testbed.choose import testbed_for

    if options.runtime == KUBERNETES:
        return make_cluster(definition, options.target)
    topology = load_topology(definition.topology)
    if hand_in is not None:
        topology = hand_in.into(topology)
    return testbed_for(options.runtime, topology, engine=options.engine, era=definition.era)


class Session:
    """One testbed, one driver, one student's resources and answers at a time.

    ``shown`` are the files of the diagnosis by name, after ``collect``.
    """

    def __init__(
        self,
        definition: LabDefinition,
        options: Options,
        student: tuple[Resource, ...],
        *,
        nonce: str,
        answers: Answers | None = None,
        code: Mapping[str, str] | None = None,
    ) -> None:
        self._definition = definition
        self._options = options
        self._student = student
        self._nonce = nonce
        self._answers = answers or Answers({})
        self._code = code or {}
        self._hand_in: HandIn | None = None
        self.checks: CheckFile = load_checks(definition.folder / "checks.py")
        self._driver: Driver | None = None
        self._testbed: Testbed | None = None
        self.lab: Lab | None = None
        self.shown: dict[str, str] = {}
        self.kept = ""

    @property
    def gateway_url(self) -> str:
        """Where the mesh can be reached from outside."""
        assert self._testbed is not None
        return self._testbed.gateway_url

    def start(self, progress: Progress) -> None:
        """Start driver and mesh at the same time; TestbedError when the mesh does not start.

        FenceError when the lab takes code and this machine has no fence for it.
        """
        if has_code(self._definition):
            self._hand_in = HandIn(
                fenced=self._options.fenced,
                contained=self._options.runtime == "compose",
                wanted=self._options.fence,
            )
        topology = load_topology(self._definition.topology)
        pods = sum(load.replicas for service in topology.services for load in service.workloads)
        title = f"Starting {pods} pods with their sidecars, and the gateway"
        if self._options.runtime == KUBERNETES:
            title = f"Looking at {pods} pods of the cluster, and its gateway"
        with progress.step(title):
            self._driver = Driver(self._options.workers)
            self._testbed = make_testbed(self._definition, self._options, self._hand_in)
            self._testbed.start()
        self._open()

    def begin(
        self,
        definition: LabDefinition,
        student: tuple[Resource, ...],
        *,
        nonce: str,
        answers: Answers | None = None,
        code: Mapping[str, str] | None = None,
    ) -> None:
        """Turn to another answer to the same lab, on the mesh that runs."""
        self._definition, self._student, self._nonce = definition, student, nonce
        self._answers = answers or Answers({})
        self._code = code or {}
        self._open()

    def _open(self) -> None:
        assert self._testbed is not None
        assert self._driver is not None
        self.shown = {}
        self.lab = Lab(
            definition=self._definition,
            testbed=self._testbed,
            driver=self._driver,
            student=self._student,
            load_text=self._load,
            nonce=self._nonce,
            code=self._code,
            hand_in=self._hand_in,
        )

    def _load(self, text: str) -> tuple[Resource, ...]:
        release = era(self._definition.era)
        space = str(self._definition.topology.get("namespace", "tutorial"))
        return tuple(load_text(text, era=release, namespace=space).resources)

    def collect(self, progress: Progress, skip: Collection[str] = ()) -> None:
        """Run the lab's probes, one after another, and the diagnosis' broken mesh at last.

        ``skip`` names probes that are left out: their evidence is another run's.
        """
        assert self.lab is not None
        probes = list(self.checks.probes)
        if broken := load_broken(self._definition):
            chosen = broken[
                self._definition.set.choose(f"{PROBE}/{self._definition.slug}", len(broken))
            ]

            def collect(lab: Lab) -> None:
                self.shown = diagnose(lab, chosen)

            probes.append(Probe(PROBE, "Breaking the mesh for the diagnosis", collect))
        for item in probes:
            if item.name in skip:
                continue
            with progress.step(item.title):
                self.lab.run_probe(item)
            if "error" in self.lab.notes[item.name]:
                progress.console.print(f"   {self.lab.notes[item.name]['error']}", markup=False)
        if self._hand_in is not None:
            self._hand_in.check()

    def judge(
        self,
        files: Sequence[Path],
        seconds: float,
        before: Evidence | None = None,
        checks: CheckFile | None = None,
    ) -> tuple[Result, Evidence]:
        """Gather the evidence and judge it; ``before`` has what ``collect`` has left out.

        ``checks`` judge in place of the lab's own.
        """
        assert self.lab is not None
        lab = self._definition
        evidence = self.lab.evidence()
        if before is not None:
            evidence = evidence.with_missing(before)
        asked = (checks or self.checks).checks
        judged = judge(asked, evidence)
        foreign = foreign_set(lab, asked, evidence, judged)
        result = Result(
            lab=lab.number,
            seconds=seconds,
            engine=self._options.engine,
            runtime=self._options.runtime,
            era=lab.era,
            seed=self._nonce,
            checks=judged,
            digest=digest([path for path in files if path.is_file()]),
            versions=versions(),
            answers=judge_answers(
                load_answer_checks(lab.folder), load_questions(lab).all, self._answers, evidence
            ),
            student=lab.set.student,
            foreign=foreign.owner if foreign else "",
            fence=self._hand_in.name if self._hand_in else "",
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
            if self._hand_in and not self.kept:
                self._hand_in.close()  # of a kept mesh the code runs on from here
