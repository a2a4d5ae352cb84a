"""The preloaded process with real children; ends are waited for on process descriptors."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh import state
from mesh.testbed.child import ChildSpec
from mesh.testbed.client import TestbedError, ZygoteClient, wait_ready

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESH_LAB_HOME", str(tmp_path / "h"))
    monkeypatch.setenv("PYTHONPATH", HERE)
    monkeypatch.setenv("NO_PROXY", "everything")
    return tmp_path / "h"


@pytest.fixture
def run(home: Path) -> state.RunFolder:
    return state.RunFolder.create()


@pytest.fixture
def zygote(run: state.RunFolder) -> Iterator[ZygoteClient]:
    client = ZygoteClient.launch(run)
    yield client
    client.end()
    assert not run.path.exists()


def spec(run: state.RunFolder, name: str, **options: Any) -> ChildSpec:
    return ChildSpec(name, "dummy", "run", "Options", options, str(run.path / f"{name}.log"))


def start(zygote: ZygoteClient, run: state.RunFolder, name: str, **options: Any) -> dict[str, Any]:
    report = run.path / f"{name}.json"
    children = zygote.start_all([spec(run, name, report=str(report), **options)])
    wait_ready(children)
    facts: dict[str, Any] = json.loads(report.read_text())
    assert facts["pid"] == children[0].pid
    return facts


def ended(fds: list[int]) -> bool:
    """Wait until all processes have ended (pidfds become readable)."""
    while fds:
        readable, _, _ = select.select(fds, [], [], 20)
        if not readable:
            return False
        for fd in readable:
            os.close(fd)
            fds.remove(fd)
    return True


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_a_child_starts_clean(
    run: state.RunFolder, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("MESH_START", way)
    zygote = ZygoteClient.launch(run)
    zygote.ask("preload", modules=["dummy"])
    zygote.ask("ports", count=3)
    one = start(zygote, run, "one", text="ä")
    two = start(zygote, run, "two")
    assert one["pid"] == one["pgid"] != two["pgid"]
    assert one["draw"] != two["draw"]
    assert one["fds"] == sorted(one["expected"])
    assert one["no_proxy"] is None
    assert one["forked"] == (way == "fork")
    assert zygote.ask("children")["children"] == {str(one["pid"]): "one", str(two["pid"]): "two"}
    pidfds = [os.pidfd_open(one["pid"]), os.pidfd_open(two["pid"])]
    zygote.end()
    assert ended(pidfds)
    assert not run.path.exists()


def test_a_child_that_fails_says_why(zygote: ZygoteClient, run: state.RunFolder) -> None:
    with pytest.raises(TestbedError, match="bad ended at its start: ValueError: no such thing"):
        wait_ready(zygote.start_all([spec(run, "bad", fail="no such thing")]))


def test_kill_ends_a_child_and_its_group(zygote: ZygoteClient, run: state.RunFolder) -> None:
    facts = start(zygote, run, "parent", grandchild=True)
    pidfds = [os.pidfd_open(facts["pid"]), os.pidfd_open(facts["grandchild"])]
    assert zygote.ask("kill", pid=facts["pid"]) == {"id": zygote._last, "killed": True}
    assert ended(pidfds)
    assert zygote.exits[facts["pid"]] == -signal.SIGKILL
    assert zygote.ask("kill", pid=facts["pid"])["killed"] is False


def test_an_error_is_the_commands(zygote: ZygoteClient) -> None:
    with pytest.raises(TestbedError, match="No module named 'no_such_module'"):
        zygote.ask("preload", modules=["no_such_module"])


def test_ports_are_held(zygote: ZygoteClient) -> None:
    ports = zygote.ask("ports", count=4)["ports"]
    assert len(set(ports)) == 4
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", ports[0]))
    zygote.ask("release", ports=ports)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", ports[0]))


@pytest.mark.parametrize("deaf", [False, True], ids=["lifeline", "parent-death-signal"])
def test_killing_the_zygote_ends_its_children(run: state.RunFolder, deaf: bool) -> None:
    zygote = ZygoteClient.launch(run)
    facts = start(zygote, run, "one", deaf=deaf)
    pidfd = os.pidfd_open(facts["pid"])
    assert zygote.process is not None
    zygote.process.kill()
    assert ended([pidfd])
    zygote.end()
    assert run.path.exists()
    assert state.reap() == [run.name]


COMMAND = """
import json, sys
from pathlib import Path
from mesh.state import RunFolder
from mesh.testbed.client import ZygoteClient, wait_ready
from mesh.testbed.child import ChildSpec
run = RunFolder.create()
zygote = ZygoteClient.launch(run)
log = str(run.path / "log")
children = zygote.start_all([ChildSpec("c", "dummy", "run", "Options", {"deaf": True}, log)])
wait_ready(children)
if sys.argv[1] == "keep":
    zygote.keep()
try:
    print(json.dumps([run.name, children[0].pid, run.owner().pid]), flush=True)
    sys.stdin.read()
except KeyboardInterrupt:
    zygote.end()
    print("no process, no file", not run.path.exists())
"""


@pytest.fixture
def command() -> Iterator[Any]:
    started: list[subprocess.Popen[str]] = []

    def launch(argument: str) -> tuple[subprocess.Popen[str], str, list[int]]:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        started.append(process)
        assert process.stdout is not None
        name, *pids = json.loads(process.stdout.readline())
        return process, name, [os.pidfd_open(pid) for pid in pids]

    yield launch
    for process in started:
        process.kill()
        process.communicate()


def test_killing_the_command_ends_everything(command: Any) -> None:
    process, name, pidfds = command("")
    process.kill()
    assert ended(pidfds)
    state.reap()
    assert not (state.root() / name).exists()


def test_ctrl_c_leaves_nothing(command: Any) -> None:
    process, _, pidfds = command("")
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate()
    assert out == "no process, no file True\n"
    assert ended(pidfds)


def test_a_kept_mesh_outlives_its_command_and_is_found_again(command: Any) -> None:
    process, name, pidfds = command("keep")
    process.kill()
    process.wait()
    assert state.reap() == []
    (run,) = state.runs()
    assert run.name == name
    zygote = ZygoteClient.attach(run)
    assert list(zygote.ask("children")["children"].values()) == ["c"]
    zygote.end()
    assert ended(pidfds)
    assert not run.path.exists()
    with pytest.raises(TestbedError, match="does not run any more"):
        ZygoteClient.attach(run)
