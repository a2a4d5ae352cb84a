"""What a child process does between its birth and its work.

A forked child is a copy: of its parent's signal handlers, open files, process group and random
numbers.  Each of these is put right here, before the entry point runs.  A spawned child (where
forking is not safe) comes through here too, by ``python -m mesh.testbed.child``.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import random
import signal
import sys
import traceback
from dataclasses import dataclass, field
from typing import Any, NoReturn

from mesh.testbed.plain import from_plain, to_plain

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A process to start: ``function`` of ``module`` gets an ``options_type`` of that module.

    ``options`` is plain data; ``fds`` says which option gets which file descriptor.
    ``log`` is the file for its output; ``env`` is added to the environment.
    ``ready_option`` takes the pipe into which it writes when it works.
    """

    name: str
    module: str
    function: str
    options_type: str
    options: dict[str, Any]
    log: str
    fds: dict[str, int] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    ready_option: str = "ready_fd"


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies: a second belt beside the lifeline."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Make this process the parent of its children's orphans, so that it can end them too."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def close_all_but(keep: set[int]) -> None:
    """Close every file descriptor from 3 on that is not in ``keep``."""
    first = 3
    for fd in sorted(fd for fd in keep if fd >= 3):
        os.closerange(first, fd)
        first = fd + 1
    limit = os.sysconf("SC_OPEN_MAX")
    os.closerange(first, max(first, min(limit, 1 << 20)))


def redirect(log: str) -> None:
    """Input from nowhere, output and errors into the log file."""
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(out)


def clean_environment(extra: dict[str, str]) -> None:
    """Take the user's proxy settings away: NO_PROXY would take services out of the mesh."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "PYTHONDONTWRITEBYTECODE":
            del os.environ[name]
    if sys.platform == "darwin":
        os.environ["no_proxy"] = "*"  # the system's proxy look-up aborts in a forked process
    os.environ.update(extra)


def begin(spec: ChildSpec, parent: int, keep: set[int]) -> NoReturn:
    """Put the process right and run its entry point; ends the process."""
    status = 1
    try:
        os.setpgid(0, 0)  # the terminal's Ctrl-C is for the command, not for its mesh
        die_with_parent(parent)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        redirect(spec.log)
        close_all_but(keep)
        clean_environment(spec.env)
        random.seed()
        gc.enable()
        module = importlib.import_module(spec.module)
        options = from_plain(getattr(module, spec.options_type), {**spec.options, **spec.fds})
        getattr(module, spec.function)(options)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main(argument: str) -> NoReturn:
    """Begin as a spawned process; ``argument`` is the JSON of spec and parent."""
    import json

    raw = json.loads(argument)
    spec: ChildSpec = from_plain(ChildSpec, raw["spec"])
    begin(spec, int(raw["parent"]), set(spec.fds.values()))


def as_argument(spec: ChildSpec, parent: int) -> str:
    """Write down for ``main`` what to begin."""
    import json

    return json.dumps({"spec": to_plain(spec), "parent": parent})


if __name__ == "__main__":
    main(sys.argv[1])
