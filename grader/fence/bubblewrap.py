"""Students' code behind bubblewrap: namespaces of its own, read-only files, limits.

    argv = Bubblewrap().command([sys.executable, "-I", "worker.py"], folder, Limits())

Inside there is no network but a loopback of its own, no other process, no home, no environment; the
interpreter and the system's libraries are read-only, ``/hand-in`` is the folder handed in, read-only,
``/tmp`` is a small memory disk.  It ends with whoever started it, and all its children with it,
since its first process is the init of their PID namespace.

A limit of processes counts those of one user, and the kernel excuses root from it, also in a
namespace where root has another name.  So where the kit runs as root, the code runs as a user that
nobody else is; where not, in a user namespace, in which the count is the fence's own.

What it does not promise (docs/run-a-course.md): the kernel is shared, and memory is limited by
process, so all of them together may take ``processes`` times ``memory``.  Where bubblewrap is not
there or may not make namespaces, nothing is run: ``FenceError`` says so.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from grader.fence.limits import USERS, FenceError, Limits

LAST = Path(__file__).with_name("no_namespaces.py")


class Bubblewrap:
    """Makes commands that run inside; FenceError where that cannot be done."""

    name = "bubblewrap"
    python: tuple[str, ...] = (sys.executable, "-I")
    broken = None

    def __init__(self) -> None:
        self._bwrap = needed("bwrap", "bubblewrap")
        self._prlimit = needed("prlimit", "util-linux")
        self._setpriv = needed("setpriv", "util-linux")
        probe = subprocess.run(
            self.command([sys.executable, "-I", "-c", ""], Path("/usr"), Limits()),
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
        """The whole command line: everything that is not listed here does not exist inside.

        ``folder`` and its files have to be readable for everybody; what it lies in need not be.
        """
        words = [self._bwrap, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
        words += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--clearenv"]
        words += ["--hostname", "fence", "--proc", "/proc", "--dev", "/dev"]
        # Before the folders: the kit itself may stand below /tmp.
        words += ["--perms", "1777", "--size", str(limits.disk), "--tmpfs", "/tmp"]  # noqa: S108  a new one, inside
        for place in system_folders():
            for above in reversed(place.parents[:-1]):  # else they are root's alone
                words += ["--perms", "0755", "--dir", str(above)]
            if place.is_symlink():
                words += ["--symlink", str(place.readlink()), str(place)]
            elif place.exists():
                words += ["--ro-bind", str(place), str(place)]
        words += ["--ro-bind", str(folder.resolve()), "/hand-in", "--chdir", "/hand-in"]
        for name, value in (("PATH", inner_path()), ("HOME", "/tmp"), ("LANG", "C.UTF-8")):  # noqa: S108
            words += ["--setenv", name, value]
        return [*words, *self._as_nobody(), *self._limited(limits), *argv]

    def _as_nobody(self) -> list[str]:
        """The end of bubblewrap's options, and what makes the code somebody without rights."""
        if os.geteuid() != 0:
            return ["--unshare-user", "--uid", "65534", "--gid", "65534", "--"]
        user = secrets.choice(USERS)
        keep = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--"]
        become = [self._setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        return [*keep, *become, "--inh-caps=-all", "--"]

    def _limited(self, limits: Limits) -> list[str]:
        """What sets the limits, as the last step before the code."""
        return [
            self._prlimit,
            f"--as={limits.memory}",
            f"--nproc={limits.processes}",
            f"--fsize={limits.disk}",
            f"--cpu={limits.seconds}",
            "--core=0",
            "--",
            *(sys.executable, "-I", "-c", LAST.read_text(encoding="utf-8")),
        ]


def needed(program: str, package: str) -> str:
    """Where a program is; FenceError where it is not."""
    found = shutil.which(program)
    if not found:
        raise FenceError(
            f"This lab runs students' code, and {program} is not here to fence it in: install "
            f"it ('sudo apt install {package}'). Nothing was run."
        )
    return found


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
