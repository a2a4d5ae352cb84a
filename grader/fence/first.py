"""The first process in a container of code handed in: it ends everything when its caller is gone.

    python -I -c (this text) BYTES WORD...

A container does not end with whoever started it, as a process does.  This one runs the command
WORD..., gives it what comes in on standard input, and exits when that ends, however the caller died:
it is process 1 of its container, so the kernel then kills all others.  Of standard error, which goes
into a log outside, the first BYTES pass.

Everything else inside is the student's and has the same user: signals do not reach process 1, and
being not dumpable it can neither be traced nor its files be opened through ``/proc``.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

PR_SET_DUMPABLE = 4
REFUSED = 125
"""What ``docker run`` ends with when it could not run anything: nobody in here says so."""


def pass_on(source: int, target: int, most: int) -> None:
    """Copy what comes, up to ``most`` bytes; read the rest all the same, so that nobody waits."""
    while piece := os.read(source, 1 << 16):
        with suppress(OSError):
            os.write(target, piece[:most])
        most -= min(most, len(piece))


def feed(target: int) -> None:
    """Copy standard input; at its end, end all."""
    while piece := os.read(0, 1 << 16):
        with suppress(OSError):  # the command is gone, and its end is on its way
            while piece:
                piece = piece[os.write(target, piece) :]
    os._exit(0)


def main(most: int, command: list[str]) -> int:
    """Run the command; returns its exit code, 128 and the signal when it was killed."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stderr is not None
    threading.Thread(target=feed, args=[process.stdin.fileno()], daemon=True).start()
    errors = threading.Thread(target=pass_on, args=[process.stderr.fileno(), 2, most])
    errors.start()
    code = process.wait()
    if os.getpid() == 1:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # whoever else holds standard error
    errors.join()
    if code == REFUSED:
        return REFUSED - 1
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main(int(sys.argv[1]), sys.argv[2:]))
