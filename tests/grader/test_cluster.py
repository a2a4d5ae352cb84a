"""Labs graded on a cluster that is reached by its ingress URL and by kubectl, and by nothing else.

The grader is a process of its own, with another home and ``kubectl`` of a ``FakeCluster`` on its PATH.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grader.lab import find_lab
from grader.mutants import load_mutants, starter_points
from grader.run import EXIT_USAGE, run_lab
from mesh.testbed.load_topology import load_topology
from tests.mesh.testbed.kubernetes.fake_cluster import FakeCluster

ROOT = Path(__file__).parents[2]
MUTANTS = {
    1: "exchanged-weights",
    2: "split-instead-of-mirror",
    3: "another-status",
    4: "strict-at-once",
}
"""One wrong answer of each lab."""
SLOW = [pytest.param(number, marks=pytest.mark.nightly) for number in (2, 3, 4)]


@dataclass
class Graded:
    """A grader's exit code, its words, and its result."""

    code: int
    said: str
    result: dict[str, Any]

    @property
    def verdicts(self) -> dict[str, str]:
        return {each["name"]: each["verdict"] for each in self.result["checks"]}


@dataclass
class OnCluster:
    """A lab in a cluster; ``grade`` runs the grader in ``folder``."""

    number: int
    cluster: FakeCluster
    folder: Path

    def grade(self, *words: str) -> Graded:
        done = subprocess.run(
            [sys.executable, "-m", "grader.cli", "lab", str(self.number), *words],
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": self.cluster.path,
                "PYTHONPATH": str(ROOT),
                "MESH_LAB_HOME": str(self.folder / "home"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        path = self.folder / "runs" / f"lab-{self.number:02}" / "latest" / "result.json"
        result = json.loads(path.read_text()) if path.is_file() else {}
        assert self.cluster.faults == [], done.stdout
        return Graded(done.returncode, done.stdout + done.stderr, result)


@pytest.fixture(scope="module", params=[1, *SLOW])
def lab(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OnCluster]:
    topology = load_topology(find_lab(request.param).topology)
    folder = tmp_path_factory.mktemp("k")
    with FakeCluster(topology, folder, folder / "h") as cluster:
        yield OnCluster(request.param, cluster, tmp_path_factory.mktemp("g"))


@pytest.mark.envoy
def test_the_solution_has_full_marks(lab: OnCluster) -> None:
    graded = lab.grade("--solution", "--target", lab.cluster.bed.gateway_url)
    assert graded.code == 0, graded.said
    assert set(graded.verdicts.values()) == {"pass"}, graded.said
    assert {each["verdict"] for each in graded.result["answers"]} == {"pass"}, graded.said
    assert (graded.result["runtime"], graded.result["engine"]) == ("kubernetes", "envoy")


@pytest.mark.envoy
@pytest.mark.nightly
def test_the_starter_has_the_points_that_it_has_at_home(lab: OnCluster) -> None:
    """The gateway's address is the one that its Service names."""
    graded = lab.grade("--runtime", "kubernetes")
    assert graded.code == 0, graded.said
    points = sum(each["points"] for each in graded.result["checks"])
    assert points == starter_points(find_lab(lab.number)), graded.said


@pytest.mark.envoy
def test_a_wrong_answer_is_caught(lab: OnCluster, tmp_path: Path) -> None:
    definition = find_lab(lab.number)
    name = MUTANTS[lab.number]
    (mutant,) = [each for each in load_mutants(definition) if each.name == name]
    work = mutant.write(definition, tmp_path / "work")
    graded = lab.grade("--work", str(work), "--target", lab.cluster.bed.gateway_url)
    assert graded.code == 0, graded.said
    failed = {name for name, verdict in graded.verdicts.items() if verdict == "fail"}
    failed |= {each["name"] for each in graded.result["answers"] if each["verdict"] == "fail"}
    assert mutant.caught(failed), graded.said


@pytest.mark.envoy
def test_nothing_but_kubectl_and_the_gateway_was_asked(lab: OnCluster) -> None:
    """The last test of a cluster: what is left in it is the lab's own way in."""
    verbs = {next(word for word in words if word in VERBS) for words in lab.cluster.said}
    assert verbs <= VERBS
    left = {(kind, name) for kind, _, name in lab.cluster._known}
    assert left == {("Gateway", "customer-gateway"), ("VirtualService", "customer-gateway")}
    assert lab.cluster.config_maps == {}


VERBS = {"config", "version", "get", "wait", "create", "apply", "replace", "delete", "exec", "logs"}
VERBS |= {"rollout", "scale"}


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (10, "plays the world outside of the mesh"),
        (11, "Mixer's, which no Istio of today has"),
        (12, "needs the kit's fence"),
    ],
)
def test_a_lab_that_cannot_run_there_says_so_first(
    number: int,
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_lab(number, runtime="kubernetes") == EXIT_USAGE
    said = " ".join(capsys.readouterr().out.split())
    assert f"Lab {number} cannot be graded on a cluster:" in said
    assert reason in said
    assert not list(tmp_path.iterdir())


def test_without_kubectl_there_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_lab(1, target="http://127.0.0.1") == EXIT_USAGE
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("RUNTIME=kubernetes cannot be used: there is no `kubectl` on the PATH")
    assert "https://kubernetes.io/docs/tasks/tools/" in said


def test_a_target_and_another_runtime_contradict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_lab(1, runtime="compose", target="http://127.0.0.1") == EXIT_USAGE
    assert "leave one of the two away" in " ".join(capsys.readouterr().out.split())


def test_what_a_cluster_does_not_offer_is_nobodys_fail() -> None:
    from grader.checks import Check, judge
    from grader.evidence.record import Evidence
    from grader.verdict import Verdict, passed

    check = Check("a", "A.", 2, ("chaos",), lambda _: passed("yes"))
    notes = {
        "chaos": {"error": "the control plane is not the grader's to kill", "not_offered": True}
    }
    evidence = Evidence({}, {}, notes, (), (), ())
    (result,) = judge((check,), evidence)
    assert result.verdict is Verdict.UNGRADABLE
    assert result.rationale.startswith("Not answerable on this cluster: the control plane")
    assert "leave RUNTIME and TARGET away" in result.help
