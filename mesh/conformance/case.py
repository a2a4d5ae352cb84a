"""A conformance case: the models of a case file; anything unknown in it is an error.

The format is documented in ``tests/conformance/README.md``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mesh.conformance.wire import Act
from mesh.testbed.load_topology import TopologyError, load_topology
from mesh.topology import Topology

EngineName = Literal["mitmproxy", "envoy"]
ENGINES: tuple[EngineName, ...] = ("mitmproxy", "envoy")
GATEWAY = "gateway"
EGRESS = "egress"
"""What rows of the egress gateway are called."""
TOPOLOGIES = "topologies"
"""Folder, beside the cases or above them, of the topologies that cases name."""

Count = int | tuple[int, int]
"""So many, or from so many to so many."""


class CaseError(Exception):
    """A case file is wrong; one sentence: file, place, what to do."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Distribution(_Model):
    """Shares of the requests by workload, judged by an exact two-sided binomial test.

    ``alpha`` is the probability that a right share is called wrong, for each workload.
    """

    share: dict[str, float]
    alpha: float = Field(1e-6, gt=0, lt=1)


class Expect(_Model):
    """What must come of a step; a field that is not written is not judged.

    ``backends`` counts the requests that reached each workload's applications (retries and
    mirrored ones too): a number, or [lowest, highest].  ``requests`` are the headers of those
    requests, by workload: a value for all of them, or a list of values in order of arrival.
    ``took`` is what a ``talk`` took, one text each.
    """

    status: int | dict[int, Count] | None = None
    body: str | None = None
    body_contains: str | None = None
    headers: dict[str, str | None] = {}
    received: dict[str, str | None] = {}
    records: dict[str, str | int] = {}
    inbound: dict[str, str | int] = {}
    egress: dict[str, str | int] = {}
    requests: dict[str, dict[str, str | tuple[str, ...] | None]] = {}
    backends: dict[str, Count] = {}
    distribution: Distribution | None = None
    took: tuple[str, ...] | None = None


class KnownDifference(_Model):
    """A difference between the engines that is known and accepted.

    ``expect`` replaces the fields it names for ``engine``; ``fields`` (names as the comparison
    prints them, a trailing ``*`` is a wildcard) are not compared.
    """

    engine: EngineName
    reason: str
    expect: Expect = Expect()
    fields: tuple[str, ...] = ()


class Wait(_Model):
    """An event to wait for: a statistic of a cluster at somebody's sidecar has a value."""

    at: str
    cluster: str
    stat: str
    value: int


class WaitAct(_Model):
    """Within a ``talk``: wait for a statistic, as a step does."""

    wait: Wait


class Step(_Model):
    """One step: requests (``to``), a ``talk``, or ``apply``, ``kill``, ``restart``, ``wait``, ``release``, ``tell``.

    ``background`` requests go on while the next steps run; ``release`` lets what they wait for
    happen, and its expectations are about all of them.  ``tell`` asks the applications of
    workloads themselves for a path, past every sidecar (``{backend-v1: /sick}``).  A ``talk`` opens
    a connection to a ``place`` (``mesh.conformance.wire``); ``lines`` of access logs come of it.
    The step after ``restart`` comes when the old pod gets no new requests; the case ends after its end.
    """

    apply: str | None = None
    kill: str = ""
    restart: str = ""
    tell: dict[str, str] = {}
    wait: Wait | None = None
    release: str = ""
    to: str = ""
    talk: tuple[Act | WaitAct, ...] = ()
    place: str = "proxy"
    lines: int = Field(1, ge=0)
    source: str = Field(GATEWAY, alias="from")
    method: str = "GET"
    headers: dict[str, str] = {}
    script: list[Any] | dict[str, list[Any]] | None = None
    body: str = ""
    count: int = Field(1, ge=1, le=5000)
    concurrency: int = Field(1, ge=1, le=32)
    background: bool = False
    request_id: bool = True
    compare: Literal["", "multiset", "set", "none"] = ""
    expect: Expect = Expect()
    known_difference: KnownDifference | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Step:
        kinds = (self.apply is not None, self.kill, self.restart, self.wait, self.release)
        if sum(map(bool, (*kinds, self.tell, self.to, self.talk))) != 1:
            raise ValueError(
                "a step has one of: to, apply, kill, restart, wait, release, tell, talk"
            )
        if self.background and self.expect != Expect():
            raise ValueError(
                "what comes of background requests is expected where they are released"
            )
        return self

    @property
    def how(self) -> str:
        """How engines are compared: random draws make counts differ, not what can come."""
        counts = [*self.expect.backends.values()]
        if isinstance(self.expect.status, dict):
            counts += self.expect.status.values()
        bounds = any(isinstance(each, tuple) for each in counts)
        return self.compare or ("set" if self.expect.distribution or bounds else "multiset")

    def expected(self, engine: str) -> Expect:
        """Return what an engine must show: ``expect``, and over it a known difference."""
        known = self.known_difference
        if known is None or known.engine != engine:
            return self.expect
        return self.expect.model_copy(update=known.expect.model_dump(exclude_unset=True))


class Case(_Model):
    """One case file; ``fresh`` demands a testbed of its own.

    ``certificates``: name of a Secret -> host name of the certificate that the runner puts in it.
    """

    name: str
    about: str = ""
    era: str = "istio-current"
    engines: tuple[EngineName, ...] = ENGINES
    fresh: bool = False
    topology: dict[str, Any]
    certificates: dict[str, str] = {}
    resources: str = ""
    traffic: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _all_released(self) -> Case:
        waiting = False
        for step in self.traffic:
            waiting = (waiting or step.background) and not step.release
        if waiting:
            raise ValueError("background requests need a release step after them")
        return self

    @property
    def mesh(self) -> Topology:
        """The topology, read."""
        return load_topology(self.topology)

    @property
    def testbed_key(self) -> str:
        """Cases with the same key may share a testbed: no state of one reaches the next."""
        alone = (
            self.fresh
            or _scripted(self.topology)
            or any(step.kill or step.restart for step in self.traffic)
        )
        key = [self.era, self.topology, self.name if alone else ""]
        return json.dumps(key, sort_keys=True, default=str)


def _scripted(raw: object) -> bool:
    """Tell whether some backend's answers depend on how many requests it had before."""
    if isinstance(raw, dict):
        return any(key in ("script", "paths") or _scripted(each) for key, each in raw.items())
    return isinstance(raw, list) and any(map(_scripted, raw))


def read_case(path: Path) -> Case:
    """Read a case file; CaseError for whatever is wrong with it."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(raw, dict) and isinstance(raw.get("topology"), str):
            raw["topology"] = _topology(path, raw["topology"])
        case = Case.model_validate(raw)
        load_topology(case.topology)
    except OSError as error:
        raise CaseError(f"{error.filename}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise CaseError(f"{path}: {' '.join(str(error).split())}") from None
    except TopologyError as error:
        raise CaseError(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CaseError(f"{path}: {place}: {first['msg']}") from None
    return case


def _topology(path: Path, name: str) -> object:
    """Read ``topologies/NAME.yaml`` of the nearest folder above the case that has it."""
    for folder in path.absolute().parents:
        file = folder / TOPOLOGIES / f"{name}.yaml"
        if file.is_file():
            return yaml.safe_load(file.read_text(encoding="utf-8"))
    raise CaseError(f"{path}: topology: there is no {TOPOLOGIES}/{name}.yaml above this file")


def read_cases(paths: list[Path]) -> list[tuple[Path, Case]]:
    """Read files, and the ``*.yaml`` below folders; CaseError when there is none."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    files = [file for file in files if file.parent.name != TOPOLOGIES]
    if not files:
        raise CaseError(f"there is no case in {', '.join(map(str, paths))}")
    return [(file, read_case(file)) for file in files]
