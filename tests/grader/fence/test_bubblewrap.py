"""The fence holds: what bad code tries, tried."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grader.fence.bubblewrap import Fence, FenceError, Limits

LIMITS = Limits(seconds=5, memory=256 << 20, processes=32, disk=4 << 20)


def working() -> bool:
    try:
        Fence()
    except FenceError:
        return False
    return True


fenced = pytest.mark.skipif(not working(), reason="no bubblewrap, or no namespaces, here")


def run(tmp_path: Path, code: str, limits: Limits = LIMITS) -> tuple[int, str]:
    """Exit code (negative: a signal) and output; the test's own limit is for a fence that leaks."""
    hand_in = tmp_path / "hand-in"
    hand_in.mkdir(exist_ok=True)
    (hand_in / "main.py").write_text(code)
    done = subprocess.run(
        Fence().command([sys.executable, "main.py"], hand_in, limits),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    # Its init says that a child was killed as shells do.
    return done.returncode if done.returncode < 128 else 128 - done.returncode, done.stdout


@pytest.mark.parametrize("missing", ["bwrap", "prlimit", "setpriv"])
def test_without_a_fence_nothing_is_run(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {"bwrap", "prlimit", "setpriv"} - {missing}:
        (tmp_path / name).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FenceError, match=f"{missing} is not here .* Nothing was run"):
        Fence()


def test_a_machine_without_namespaces_is_no_fence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bwrap", "prlimit", "setpriv"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'No permissions to create' >&2; exit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(FenceError, match=r"lets nobody make namespaces \(No permissions"):
        Fence()


@fenced
def test_honest_code_runs(tmp_path: Path) -> None:
    code = "import flask, os; print(os.getcwd(), sorted(os.listdir('.')), os.getuid() > 65533)"
    assert run(tmp_path, code) == (0, "/hand-in ['main.py'] True\n")


@fenced
@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('192.0.2.1', 80), 1)",
        "open('/hand-in/main.py', 'w')",
        f"open({str(Path(__file__))!r})",
        "open('/etc/passwd')",
        "open('/tmp/big', 'wb').write(b'x' * (8 << 20))",
        "x = b'x' * (1 << 30)",
    ],
)
def test_what_is_fenced_off_is_an_error_inside(code: str, tmp_path: Path) -> None:
    ended, output = run(tmp_path, code)
    assert ended != 0
    assert "Error" in output or ended < 0


@fenced
def test_nobodys_environment_and_processes_are_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "key")
    code = "import os; print(os.environ.get('SECRET'), len([p for p in os.listdir('/proc') if p.isdigit()]) < 5)"
    assert run(tmp_path, code)[1] == "None True\n"


@fenced
def test_an_endless_loop_ends(tmp_path: Path) -> None:
    short = Limits(seconds=1, memory=256 << 20, processes=32)
    assert run(tmp_path, "while True: pass", short)[0] == -signal.SIGKILL


@fenced
def test_a_fork_bomb_has_as_many_children_as_it_may(tmp_path: Path) -> None:
    bomb = """
import os, signal
made = 0
try:
    while made < 1000:
        if os.fork() == 0:
            signal.pause()
        made += 1
except OSError:
    pass
print(made)
"""
    code, output = run(tmp_path, bomb)
    assert code == 0
    assert 0 < int(output) < LIMITS.processes


@fenced
def test_it_has_no_rights(tmp_path: Path) -> None:
    code = (
        "import os; print([line.split()[1].strip('0') for line in open('/proc/self/status')"
        " if line.startswith(('CapPrm', 'CapEff', 'CapInh', 'CapAmb'))])\n"
        "try: os.setuid(0)\nexcept OSError as error: print(type(error).__name__)"
    )
    assert run(tmp_path, code)[1] == "['', '', '', '']\nPermissionError\n"
