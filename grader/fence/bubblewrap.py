"""Students' code behind bubblewrap: namespaces of its own, read-only files, limits.

    with Fence().start(["python", "service.py"], folder, Limits()) as inside: ...
    result = Fence().run(["python", "check.py"], folder, Limits())

Inside there is no network but a loopback of its own, no other process, no home, no environment; the
interpreter and the system's libraries are read-only, ``/hand-in`` is the folder handed in, read-only,
``/tmp`` is a small memory disk.  It ends with the grader, after ``seconds`` of wall time, and all
its children with it, since its first process is the init of their PID namespace.

What it does not promise (docs/run-a-course.md): the kernel is shared, and memory is limited by
process, so all of them together may take ``processes`` times ``memory``.  Where bubblewrap is not
there or may not make namespaces, nothing is run: ``FenceError`` says so.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

OUTPUT = 100_000
"""Bytes of output that are kept."""


class FenceError(Exception):
    """There is no fence here, so no student's code is run; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``seconds`` of wall time, bytes of ``memory`` a process, ``processes``, bytes of ``disk``."""

    seconds: float = 30.0
    memory: int = 512 << 20
    processes: int = 64
    disk: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: ``code`` as the shell counts, ``output`` cut to a length, ``why`` in words."""

    code: int
    output: str
    why: str = ""


class Fence:
    """Runs commands inside; FenceError where that cannot be done."""

    def __init__(self, program: str | None = None) -> None:
        self.program = program or shutil.which("bwrap") or ""
        if not self.program:
            raise FenceError(
                "This lab runs students' code, and bubblewrap is not here to fence it in: install "
                "it ('sudo apt install bubblewrap'). Nothing was run."
            )
        probe = subprocess.run(
            [self.program, "--unshare-all", "--ro-bind", "/", "/", "true"],
            capture_output=True,
            text=True,
            check=False,
        )
        if probe.returncode:
            raise FenceError(
                "This lab runs students' code, and this machine lets nobody make namespaces "
                f"({probe.stderr.strip()[:100]}): grade it where it does. Nothing was run."
            )

    def command(self, argv: Sequence[str], folder: Path, limits: Limits) -> list[str]:
        """The whole command line: everything that is not listed here does not exist inside."""
        words = [self.program, "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
        words += ["--uid", "65534", "--gid", "65534", "--hostname", "fence"]
        words += ["--proc", "/proc", "--dev", "/dev"]
        # Before the folders: the kit itself may stand below /tmp.
        words += ["--size", str(limits.disk), "--tmpfs", "/tmp"]  # noqa: S108  a new one, inside
        for place in system_folders():
            if place.is_symlink():
                words += ["--symlink", str(place.readlink()), str(place)]
            elif place.exists():
                words += ["--ro-bind", str(place), str(place)]
        words += ["--ro-bind", str(folder.resolve()), "/hand-in", "--chdir", "/hand-in"]
        for name, value in (("PATH", inner_path()), ("HOME", "/tmp"), ("LANG", "C.UTF-8")):  # noqa: S108
            words += ["--setenv", name, value]
        return [*words, "--", *argv]

    def run(self, argv: Sequence[str], folder: Path, limits: Limits) -> Ended:
        """Run a command to its end or to its limits."""
        process = subprocess.Popen(
            self.command(argv, folder, limits),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=limiter(limits),
        )
        assert process.stdout is not None
        timer = _Alarm(process, limits.seconds)
        with timer:
            data = process.stdout.read(OUTPUT)
            while process.stdout.read(1 << 16):
                pass  # a flood must not block it, nor be kept
            code = process.wait()
        process.stdout.close()
        why = f"it was ended after {limits.seconds:g} s" if timer.rang else ""
        return Ended(code, data.decode("utf-8", "replace"), why)


def inner_limits(limits: Limits) -> list[str]:
    """The beginning of a command that sets its limits inside, for one that is not waited for.

    There a count of processes is the fence's own; ``seconds`` is of CPU.  FenceError without prlimit.
    """
    program = shutil.which("prlimit")
    if not program:
        raise FenceError("This lab runs students' code, and prlimit (util-linux) is not here.")
    return [
        program,
        f"--as={limits.memory}",
        f"--nproc={limits.processes}",
        f"--fsize={limits.disk}",
        f"--cpu={int(limits.seconds)}",
        "--core=0",
        "--",
    ]


class _Alarm:
    """Ends a process group when its time is over."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        from threading import Timer

        self.rang = False
        self._process = process
        self._timer = Timer(seconds, self._ring)

    def _ring(self) -> None:
        self.rang = True
        os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()


def limiter(limits: Limits) -> Callable[[], None]:
    """What the child does before it becomes bubblewrap."""

    def apply() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
        resource.setrlimit(resource.RLIMIT_NPROC, (limits.processes, limits.processes))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.disk, limits.disk))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        whole = int(limits.seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (whole, whole))

    return apply


def system_folders() -> list[Path]:
    """What a program needs to run at all, and the interpreter with the kit's packages."""
    names = ("/usr", "/bin", "/lib", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")
    found = [Path(name) for name in names]
    prefixes = dict.fromkeys((sys.base_prefix, sys.prefix))
    found += [Path(prefix) for prefix in prefixes if not prefix.startswith("/usr")]
    return found


def inner_path() -> str:
    """PATH inside: the interpreter first."""
    return f"{Path(sys.executable).parent}:/usr/bin:/bin"
