"""The fence holds: what bad code tries, tried."""

import shutil
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


def run(tmp_path: Path, code: str, limits: Limits = LIMITS) -> tuple[int, str, str]:
    (tmp_path / "hand-in").mkdir(exist_ok=True)
    (tmp_path / "hand-in" / "main.py").write_text(code)
    found = Fence().run([sys.executable, "main.py"], tmp_path / "hand-in", limits)
    return found.code, found.output, found.why


def test_without_a_fence_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FenceError, match="Nothing was run"):
        Fence()
    with pytest.raises(FenceError, match="lets nobody make namespaces"):
        Fence(shutil.which("false", path="/usr/bin:/bin"))


@fenced
def test_honest_code_runs(tmp_path: Path) -> None:
    code = "import flask, os; print(os.getcwd(), sorted(os.listdir('.')), os.getuid())"
    assert run(tmp_path, code) == (0, "/hand-in ['main.py'] 65534\n", "")


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
    ended, output, _ = run(tmp_path, code)
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
def test_an_endless_loop_and_a_fork_bomb_end(tmp_path: Path) -> None:
    short = Limits(seconds=2, memory=256 << 20, processes=32)
    _, _, why = run(tmp_path, "while True: pass", short)
    assert why == "it was ended after 2 s"
    bomb = (
        "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.01)\n"
    )
    _, _, why = run(tmp_path, bomb, short)
    assert why == "it was ended after 2 s"


@fenced
def test_a_flood_of_output_is_cut(tmp_path: Path) -> None:
    code, output, _ = run(tmp_path, "for _ in range(100000): print('x' * 100)")
    assert code == 0
    assert len(output) == 100_000
