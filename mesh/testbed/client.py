"""The commands' side of the preloaded process: start it, ask it, wait for its children."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from mesh.state import RunFolder
from mesh.testbed import wire
from mesh.testbed.child import ChildSpec
from mesh.testbed.plain import to_plain

START_LIMIT = 60.0
"""Seconds after which a child that is neither ready nor dead is given up."""


class TestbedError(Exception):
    """The testbed could not do it; the text is for the user."""

    __test__ = False


class NoAnswerError(TestbedError):
    """A request brought no whole answer: the connection broke."""


@dataclass(slots=True)
class Started:
    """A child that was asked for; ``ready_fd`` is -1 once its readiness was seen."""

    name: str
    pid: int
    log: Path
    ready_fd: int = -1


@dataclass(slots=True)
class ZygoteClient:
    """A connection to a preloaded process; safe to use from several threads."""

    sock: socket.socket
    process: subprocess.Popen[bytes] | None = None
    exits: dict[int, int] = field(default_factory=dict)
    _receiver: wire.Receiver = field(init=False)
    _lock: RLock = field(default_factory=RLock)
    _answers: dict[int, wire.Message] = field(default_factory=dict)
    _last: int = 0

    def __post_init__(self) -> None:
        self._receiver = wire.Receiver(self.sock)

    @classmethod
    def launch(cls, run: RunFolder) -> ZygoteClient:
        """Start a preloaded process for ``run`` and make it the folder's owner."""
        ours, theirs = socket.socketpair()
        environment = {
            name: value
            for name, value in os.environ.items()
            if name != "PYTHONDONTWRITEBYTECODE"  # it would make every start compile again
        }
        environment["MALLOC_ARENA_MAX"] = (
            "1"  # an arena for each thread would be memory for nothing
        )
        with (run.path / "zygote.log").open("ab") as log, theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "mesh.testbed.zygote", str(theirs.fileno()), str(run.path)],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
            )
        run.hand_over(process.pid)
        return cls(ours, process)

    @classmethod
    def attach(cls, run: RunFolder) -> ZygoteClient:
        """Connect to the preloaded process of a kept mesh; TestbedError when it is gone."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(run.socket(0)))
        except OSError:
            sock.close()
            raise TestbedError(f"the mesh {run.name} does not run any more") from None
        return cls(sock)

    def post(self, op: str, fds: Sequence[int] = (), **arguments: Any) -> int:
        """Send a request without waiting; ``answer`` takes the number returned."""
        with self._lock:
            self._last += 1
            try:
                wire.send(self.sock, {"id": self._last, "op": op, **arguments}, fds)
            except OSError:
                raise TestbedError("the preloaded process of this mesh has ended") from None
            return self._last

    def answer(self, number: int) -> wire.Message:
        """Wait for the answer to a request; TestbedError when the request failed."""
        with self._lock:
            while number not in self._answers:
                self._read()
            found = self._answers.pop(number)
        if "error" in found:
            raise TestbedError(str(found["error"]))
        return found

    def ask(self, op: str, **arguments: Any) -> wire.Message:
        """Send a request and wait for its answer."""
        return self.answer(self.post(op, **arguments))

    def _read(self) -> None:
        messages = self._receiver.receive()
        if messages is None:
            raise TestbedError("the preloaded process of this mesh has ended")
        for message, _ in messages:
            if message.get("event") == "exit":
                self.exits[int(message["pid"])] = int(message["status"])
            else:
                self._answers[int(message["id"])] = message

    def post_start(self, spec: ChildSpec) -> tuple[int, int]:
        """Ask for a child without waiting; returns the request's number and its ready pipe."""
        ready_r, ready_w = os.pipe()
        try:
            plain = to_plain(spec)
            number = self.post("start", [ready_w], spec=plain, fd_names=[spec.ready_option])
        except TestbedError:
            os.close(ready_r)
            raise
        finally:
            os.close(ready_w)
        return number, ready_r

    def start_all(self, specs: Iterable[ChildSpec]) -> list[Started]:
        """Start children, all at once; they may not be ready yet."""
        asked = [(spec, *self.post_start(spec)) for spec in specs]
        return [
            Started(spec.name, int(self.answer(number)["pid"]), Path(spec.log), pipe)
            for spec, number, pipe in asked
        ]

    def keep(self) -> None:
        """Let the mesh live on when this command ends."""
        self.ask("keep")
        if self.process is not None:
            self.process.returncode = 0  # it outlives this command, which is meant
            self.process = None

    def end(self) -> None:
        """End the mesh: when this returns no process and no file of it is left."""
        if self.process is None:  # a kept one has to be told
            with contextlib.suppress(TestbedError):
                self.ask("end")
                while True:  # until its socket closes
                    self._read()
        self.close()

    def close(self) -> None:
        """Leave.  A mesh that is not kept ends by this, and this waits for its end."""
        self._receiver.close()
        self.sock.close()
        if self.process is not None:
            self.process.wait()


def wait_ready(children: Iterable[Started]) -> None:
    """Wait until each child has said that it is ready; TestbedError when one ended instead."""
    waiting = {child.ready_fd: child for child in children if child.ready_fd >= 0}
    limit = time.monotonic() + START_LIMIT
    try:
        with selectors.DefaultSelector() as selector:
            for fd in waiting:
                selector.register(fd, selectors.EVENT_READ)
            while waiting:
                for key, _ in selector.select(max(0.0, limit - time.monotonic())):
                    child = waiting[key.fd]
                    if not os.read(key.fd, 1):
                        raise TestbedError(
                            f"{child.name} ended at its start: {last_words(child.log)}"
                        )
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    child.ready_fd = -1
                    del waiting[key.fd]
                if waiting and time.monotonic() > limit:
                    names = ", ".join(child.name for child in waiting.values())
                    raise TestbedError(f"not ready after {START_LIMIT:.0f} s: {names}")
    finally:
        for fd in waiting:
            os.close(fd)


def last_words(log: Path) -> str:
    """Return the last line of a log file that says something, or where to look."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    except OSError:
        lines = []
    return next((line for line in reversed(lines) if line), f"nothing was written to {log}")
