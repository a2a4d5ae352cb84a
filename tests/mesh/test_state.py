from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh import state


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESH_LAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_run_folder_is_private_and_owned(home: Path) -> None:
    run = state.RunFolder.create()
    assert run.path.parent == home
    assert home.stat().st_mode & 0o777 == 0o700
    assert run.owner() == state.Owner.of(os.getpid())
    assert [each.name for each in state.runs()] == [run.name]
    assert state.reap() == []
    run.remove()
    assert state.runs() == []


def test_reap_removes_what_a_killed_process_left() -> None:
    code = (
        "from mesh.state import RunFolder; import sys; print(RunFolder.create().name, flush=True);"
        "sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdin is not None
    name = child.stdout.readline().strip()
    assert state.reap() == []
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but still a zombie
    assert state.reap() == [name]
    child.communicate()
    assert state.reap() == []


def test_an_owner_whose_process_number_was_used_again_is_dead() -> None:
    assert not state.Owner(os.getpid(), "1").alive()
    assert state.Owner.of(os.getpid()).alive()


def test_refuses_a_folder_that_others_can_read(home: Path) -> None:
    home.mkdir()
    home.chmod(0o755)
    with pytest.raises(state.StateError, match="chmod 700"):
        state.root()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_refuses_a_folder_of_somebody_else(home: Path) -> None:
    home.mkdir(mode=0o700)
    os.chown(home, 12345, 12345)
    with pytest.raises(state.StateError, match="not a folder of yours"):
        state.root()


def test_refuses_a_path_too_long_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_LAB_HOME", str(tmp_path / ("x" * 100)))
    with pytest.raises(state.StateError, match="too long for a Unix socket"):
        state.RunFolder.create()


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "f"
    state.write_atomic(path, "one")
    state.write_atomic(path, "two")
    assert path.read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]
