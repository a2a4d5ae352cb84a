"""The checks of this machine, and a remedy for each that fails."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh import doctor


def test_python() -> None:
    assert doctor.check_python((3, 12, 0)).state == "ok"
    old = doctor.check_python((3, 11, 9))
    assert old.state == "missing"
    assert "3.12" in old.remedy


@pytest.mark.parametrize(
    ("says", "state"),
    [
        ("GNU Make 4.3\nBuilt for", "ok"),
        ("GNU Make 3.81\n", "ok"),
        ("GNU Make 3.80\n", "missing"),
        ("bmake 2020\n", "missing"),
        (None, "missing"),
    ],
)
def test_make(says: str | None, state: str) -> None:
    finding = doctor.check_make(lambda command: says)
    assert finding.state == state
    assert bool(finding.remedy) == (state != "ok")


def test_proxy_variables_are_named_never_shown() -> None:
    finding = doctor.check_proxies({"HTTPS_PROXY": "http://user:secret@proxy", "no_proxy": ""})
    assert finding.state == "note"
    assert "HTTPS_PROXY" in finding.fact
    assert "secret" not in str(finding)
    assert doctor.check_proxies({}).state == "ok"


def test_disk(tmp_path: Path) -> None:
    assert doctor.check_disk(tmp_path, free_mb=5000).state == "ok"
    assert doctor.check_disk(tmp_path, free_mb=100).state == "missing"
    assert doctor.check_disk(tmp_path / "gone").state == "missing"


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (("Linux", "x86_64", "2.31", ""), ""),
        (("Linux", "aarch64", "2.40", ""), ""),
        (("Linux", "x86_64", "2.28", ""), "older than 2.31"),
        (("Linux", "x86_64", "", ""), "without glibc"),
        (("Linux", "riscv64", "2.40", ""), "riscv64"),
        (("Darwin", "arm64", "", "15.1"), ""),
        (("Darwin", "arm64", "", "14.7"), "older than 15"),
        (("Darwin", "x86_64", "", "15.1"), "Intel"),
        (("Windows", "AMD64", "", ""), "Windows"),
    ],
)
def test_where_there_is_an_envoy(machine: tuple[str, str, str, str], words: str) -> None:
    why = doctor.no_envoy_wheel(*machine)
    assert words in why
    assert bool(why) == bool(words)


@pytest.mark.parametrize(
    ("engine", "compose", "state"),
    [("27.1", "v2", "ok"), ("27.1", None, "missing"), (None, None, "missing")],
)
def test_docker(engine: str | None, compose: str | None, state: str) -> None:
    finding = doctor.check_docker(lambda command: compose if "compose" in command else engine)
    assert finding.state == state


def test_the_exit_code_and_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    good = doctor.Finding("A", "ok", "fine")
    bad = doctor.Finding("B", "missing", "not there", "Get one.")
    assert doctor.report([good]) == 0
    assert doctor.report([good, bad]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "to mend: B"
    assert lines[-2].strip() == "Get one."


def test_it_runs_without_any_package() -> None:
    """``make doctor`` calls it before anything is installed."""
    root = Path(doctor.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-m", "mesh.doctor"],
        cwd=root,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Python" in done.stdout, done.stderr
    assert "not installed yet" in done.stdout


@pytest.mark.parametrize(("total", "state"), [("8000000000\n", "ok"), ("900000000\n", "missing")])
def test_memory_of_docker(total: str, state: str) -> None:
    assert doctor.check_docker_memory(lambda _: total).state == state


def test_networks_of_killed_meshes(tmp_path: Path) -> None:
    lost = tmp_path / "m-123456"
    finding = doctor.check_docker_leftovers(lambda _: f"{tmp_path}\n{lost}\n{lost}\n")
    assert (finding.state, finding.fact) == (
        "note",
        "networks or containers of killed meshes: m-123456",
    )
    assert doctor.check_docker_leftovers(lambda _: f"{tmp_path}\n").state == "ok"


@pytest.mark.parametrize(
    ("info", "images", "ran", "state"),
    [
        ("Debian [name=seccomp]", "abc\ndef\n", "", "ok"),
        ("Debian [name=seccomp]", "abc\n", None, "missing"),
        ("Debian [name=rootless]", "abc\n", None, "missing"),
        ("Debian []", "", "", "note"),
        ("Docker Desktop []", "abc\n", "", "missing"),
    ],
)
def test_whether_a_container_may_redirect(
    info: str, images: str, ran: str | None, state: str
) -> None:
    answers = {"info": info, "image": images, "run": ran}
    finding = doctor.check_docker_rules(lambda command: answers[command[1]])
    assert finding.state == state
    assert ("rootless" in finding.fact) == ("rootless" in info)


def test_a_cluster_is_looked_for_when_it_is_asked_for() -> None:
    from mesh.doctor import check_kubectl

    def answers(**known: str) -> Callable[[list[str]], str | None]:
        return lambda command: known.get(command[1])

    assert check_kubectl(answers(config="kind-mesh\n", version="v1")).state == "ok"
    none = check_kubectl(answers())
    assert (none.state, "use-context" in none.remedy) == ("missing", True)
    dead = check_kubectl(answers(config="kind-mesh\n"))
    assert (dead.state, "kind-mesh does not answer" in dead.fact) == ("missing", True)
