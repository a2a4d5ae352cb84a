"""The fences hold: what bad code tries, tried behind each."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from grader.fence.limits import Limits
from tests.grader.fence.fences import LIMITS, both, fence, run
from tests.processes import commands


@both
def test_honest_code_runs(kind: str, tmp_path: Path) -> None:
    code = "import flask, mitmproxy, os; print(os.getcwd(), sorted(os.listdir('.')), os.getuid() > 65533)"
    assert run(kind, tmp_path, code) == (0, "/hand-in ['main.py'] True\n")


@both
@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('192.0.2.1', 80), 1)",
        "import socket; socket.create_connection(('127.0.0.1', PORT), 1)",
        "import socket; socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
        "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "open('/hand-in/main.py', 'w')",
        "open('/usr/x', 'w')",
        "open(OUTSIDE)",
        "open(OUTSIDE, 'w')",
        f"open({str(Path(__file__))!r})",
        "open('/etc/shadow')",
        "open('/proc/1/environ')",
        "open('/proc/1/fd/0')",
        "open('/proc/1/mem')",
        "open('/tmp/big', 'wb').write(b'x' * (8 << 20))",
        "x = b'x' * (1 << 30)",
        "import os; os.setuid(0)",
        "import os; os.unshare(os.CLONE_NEWUSER); os.unshare(os.CLONE_NEWNET)",
    ],
)
def test_what_is_fenced_off_is_an_error_inside(kind: str, code: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("a secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = code.replace("OUTSIDE", repr(str(outside))).replace("PORT", str(port))
        ended, output = run(kind, tmp_path, text)
    assert ended != 0
    assert "Error" in output or ended < 0
    assert outside.read_text() == "a secret"


@both
def test_nobodys_environment_and_processes_are_visible(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "key")
    code = "import os; print(os.environ.get('SECRET'), len([p for p in os.listdir('/proc') if p.isdigit()]) < 5)"
    assert run(kind, tmp_path, code)[1] == "None True\n"


@both
def test_an_endless_loop_ends(kind: str, tmp_path: Path) -> None:
    short = Limits(seconds=1, memory=256 << 20, processes=32)
    assert run(kind, tmp_path, "while True: pass", short)[0] == -signal.SIGKILL


@both
def test_a_fork_bomb_has_as_many_children_as_it_may(kind: str, tmp_path: Path) -> None:
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
    code, output = run(kind, tmp_path, bomb)
    assert code == 0
    assert 0 < int(output) < LIMITS.processes


@both
def test_it_has_no_rights(kind: str, tmp_path: Path) -> None:
    code = (
        "import os; print([line.split()[1].strip('0') for line in open('/proc/self/status')"
        " if line.startswith(('CapPrm', 'CapEff', 'CapInh', 'CapAmb'))])\n"
        "try: os.setuid(0)\nexcept OSError as error: print(type(error).__name__)"
    )
    assert run(kind, tmp_path, code)[1] == "['', '', '', '']\nPermissionError\n"


@both
@pytest.mark.parametrize("how", ["its lifeline breaks", "the caller is killed"])
def test_it_ends_with_its_caller_whatever_it_does(kind: str, how: str, tmp_path: Path) -> None:
    """A loop that ignores signals and has left its session, behind a caller that is killed."""
    mark = f"mark-{tmp_path.name}"
    (tmp_path / "main.py").write_text(
        "import os, signal, sys\n"
        "for number in range(1, 32):\n"
        "    try: signal.signal(number, signal.SIG_IGN)\n"
        "    except OSError: pass\n"
        "if os.fork(): os.waitpid(-1, 0)\n"
        "os.setsid()\n"
        f"sys.stdout.write('{mark}\\n'); sys.stdout.flush()\n"
        "while True: pass\n"
    )
    tmp_path.chmod(0o755)
    made = fence(kind)
    command = made.command([*made.python, "main.py", mark], tmp_path, LIMITS)
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert caller.stdout is not None
    assert caller.stdin is not None
    assert caller.stdout.readline() == f"{mark}\n".encode()
    pids = running(mark)
    assert pids
    if how == "the caller is killed":
        caller.kill()
    else:
        caller.stdin.close()
    # Every process that holds the pipe is gone when it ends, in a container those that write to it.
    assert caller.stdout.read() == b""
    caller.stdout.close()
    caller.stdin.close()
    caller.wait()
    for each in pids:
        gone(each)


CALLER = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
sys.stdin.read()
child.stdin.close()
if 'docker' not in sys.argv[1]:
    child.kill()
child.wait()
"""
"""Starts the command as an application does, and ends it when told."""


def running(mark: str) -> list[int]:
    """File descriptors of the processes with this word in their command, but for those that started it."""
    found = []
    for pid, words in commands():
        started = any(b"bwrap" in word or b"docker" in word for word in words) or b"-c" in words
        if words[-1:] == [mark.encode()] and not started:
            found.append(os.pidfd_open(pid))
    return found


def gone(pidfd: int) -> None:
    """Wait until the process is gone; a leaking fence ends in the test's limit."""
    assert select.select([pidfd], [], [], 60)[0], "the code outlives its caller"
    os.close(pidfd)


@both
def test_what_it_prints_does_not_fill_the_disk(kind: str, tmp_path: Path) -> None:
    """Standard error goes into a log outside of the fence."""
    (tmp_path / "main.py").write_text(
        "import os\nprint('runs')\nfor _ in range(64): os.write(2, b'x' * (1 << 20))\n"
    )
    tmp_path.chmod(0o755)
    made, log = fence(kind), tmp_path / "log"
    with log.open("wb") as file:
        done = subprocess.Popen(
            made.command([*made.python, "-u", "main.py"], tmp_path, LIMITS),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
        )
        assert done.stdout is not None
        assert done.stdin is not None
        said = done.stdout.read()
        done.wait()
        done.stdin.close()
        done.stdout.close()
    assert said == b"runs\n"
    assert log.stat().st_size == LIMITS.disk
