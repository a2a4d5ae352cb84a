"""Lab: what a probe has in its hands while the mesh runs.

It applies configuration, drives traffic, and writes everything down; it judges nothing except
whether a sequential test wants another batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from grader.checks import Probe
from grader.evidence.record import Evidence
from grader.fence.hand_in import HandIn
from grader.lab import LabDefinition
from grader.load.observation import Observation
from grader.load.plan import Connections, Plan
from grader.load.run import Decide, Driver, LoadError, Stream

if TYPE_CHECKING:
    from mesh.istio.resource import Resource
    from mesh.testbed.base import Testbed

Loader = Callable[[str], "tuple[Resource, ...]"]


@dataclass
class Lab:
    """One run of one lab; ``student`` are the resources of the student's files.

    ``nonce`` makes the request ids of this run its own; ``begin`` (seconds since 1970) is when it
    began: what the mesh wrote down before is another run's.  ``code`` are the student's programs by file
    name, ``hand_in`` is where they lie while they run.
    """

    definition: LabDefinition
    testbed: Testbed
    driver: Driver
    student: tuple[Resource, ...]
    load_text: Loader
    nonce: str = ""
    observations: list[Observation] = field(default_factory=list)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    begin: float = field(default_factory=time.time)
    code: Mapping[str, str] = field(default_factory=dict)
    hand_in: HandIn | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of this run, ``lab.yaml``'s self-study set or a student's own."""
        return self.definition.parameters

    def apply_student(self) -> None:
        """Bring the student's files, and nothing else, into force."""
        self.testbed.apply(self.student)
        if self.code:
            self.put_code(self.code)

    def put_code(self, files: Mapping[str, str]) -> None:
        """Let these programs run in place of the ones before, wherever the topology names them."""
        assert self.hand_in is not None, "the lab takes no code"
        self.hand_in.put(files)
        loads = [each for item in self.testbed.topology.services for each in item.workloads]
        for load in loads:
            pods = [pod.name for pod in self.testbed.pods() if pod.workload == load.name]
            for pod in pods if load.code else ():
                self.testbed.tell(pod, "/reload")
            for pod in pods if load.filter else ():
                self.testbed.reload_filter(pod)

    def apply_with(self, text: str, *, without: Callable[[Resource], bool]) -> None:
        """Apply the student's files except those ``without`` names, and the YAML ``text``."""
        kept = tuple(item for item in self.student if not without(item))
        self.testbed.apply((*kept, *self.load_text(text)))

    def apply_text(self, text: str, *, era: str = "") -> None:
        """Apply the YAML ``text`` alone, without anything of the student's.

        ``era``: as another release reads it; the next ``apply`` is the lab's own era again.
        """
        resources = self.load_text(text)
        if era:
            self.testbed.apply(resources, era=era)
        else:
            self.testbed.apply(resources)

    def drive(
        self,
        probe: str,
        decide: Decide,
        *,
        requests: int,
        batch: int = 25,
        users: int = 8,
        connections: Connections = "keep",
        **more: Any,
    ) -> tuple[Observation, ...]:
        """Send barrier batches until ``decide`` has enough; records and returns what was seen.

        ``more`` are further fields of the ``Plan``, such as ``give_up`` or ``method``.
        """
        plan = self._plan(probe, requests, batch, users, connections, more)
        seen = self.driver.run(plan, decide)
        self.observations.extend(seen)
        return seen

    def count(self, probe: str, requests: int, **more: Any) -> tuple[Observation, ...]:
        """Send exactly ``requests`` requests; ``more`` as for ``drive``."""
        more.setdefault("batch", requests)
        return self.drive(probe, lambda _: True, requests=requests, **more)

    def hop(
        self, caller: str, host: str, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Fields of a plan that asks for ``host`` as the application of ``caller`` would.

        ``lab.count("hop", 40, **lab.hop("preference", "recommendation:8080"))``: through the
        caller's sidecar, so exactly one hop is seen, without the services before it.
        """
        return {
            "host": self.testbed.proxy_url(caller),
            "headers": {**(headers or {}), "host": host},
        }

    def stream(self, probe: str, *, requests: int, users: int = 8, **more: Any) -> Stream:
        """Start traffic that flows while the probe works; ``requests`` bounds it."""
        plan = self._plan(probe, requests, 25, users, "keep", more)
        return self.driver.stream(replace(plan, mode="stream"))

    def record(self, seen: Sequence[Observation]) -> None:
        """Keep the observations of a stream."""
        self.observations.extend(seen)

    def note(self, probe: str, **more: object) -> None:
        """Write something down beside the observations of ``probe``."""
        self.notes.setdefault(probe, {}).update(more)

    def _plan(
        self,
        probe: str,
        requests: int,
        batch: int,
        users: int,
        connections: Connections,
        more: Mapping[str, Any],
    ) -> Plan:
        fields: dict[str, Any] = {"host": self.testbed.gateway_url, **more}
        return Plan(
            probe=probe,
            requests=requests,
            batch=batch,
            users=users,
            connections=connections,
            nonce=self.nonce,
            **fields,
        )

    def run_probe(self, item: Probe) -> None:
        """Run one probe; what it cannot do is noted, and the others still run."""
        from mesh.testbed.client import TestbedError
        from mesh.testbed.kubernetes.kubectl import NotOfferedError

        self.notes.setdefault(item.name, {})
        try:
            item.collect(self)
        except NotOfferedError as error:
            self.notes[item.name].update(error=str(error), not_offered=True)
        except (LoadError, TestbedError) as error:
            self.notes[item.name]["error"] = str(error)

    def evidence(self) -> Evidence:
        """Everything that this run recorded, with the sidecars' and the applications' records."""
        since = datetime.fromtimestamp(self.begin, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
        return Evidence(
            parameters=dict(self.parameters),
            pods={pod.name: dict(pod.labels) for pod in self.testbed.pods()},
            notes=self.notes,
            observations=tuple(self.observations),
            access_log=tuple(
                slim(asdict(line))
                for line in self.testbed.access_log()
                if not line.start_time or line.start_time >= since
            ),
            journal=tuple(
                dict(line)
                for line in self.testbed.journal()
                if line.get("time", self.begin) >= self.begin
            ),
        )


def slim(record: dict[str, Any]) -> dict[str, Any]:
    """An access log record without its empty fields."""
    return {key: value for key, value in record.items() if value not in ("", 0, {}, None)}
