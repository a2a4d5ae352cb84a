"""Code door: runs handed-in code in a container of its own, for one caller at a time.

The container has no network, no capability and no file but the code; application or sidecar
reach it by a Unix socket on a memory disk that both containers see.  Each connection gets a new
worker (``grader.fence.worker``) whose standard input and output it is, so that a caller that
closes it and connects again has loaded the code anew.  Whatever the code has started ends with
the connection: this is process 1 of its container, and kills all others.

Run as ``python code_door.py SOCKET WORD...`` (the words are the worker's command).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

WHERE = Path("/hand-in")
"""The folder with the code, inside of the container."""
SOCKET = Path("/code/door")
"""On a volume of the two containers."""


def serve(place: Path, command: Sequence[str]) -> None:
    """Serve until killed."""
    new = place.with_name(f"{place.name}.new")
    new.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(new))
        new.chmod(0o666)  # who sees the volume may come
        server.listen(1)
        new.rename(place)  # only now: who waits for the name may connect at once
        while True:
            connection, _ = server.accept()
            with connection:
                run(connection, command)


def run(connection: socket.socket, command: Sequence[str]) -> None:
    """Let a worker serve a connection until either of them ends."""
    with subprocess.Popen(
        command, stdin=connection.fileno(), stdout=connection.fileno()
    ) as process:
        ended = os.pidfd_open(process.pid)
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(connection, select.POLLRDHUP)
        poll.poll()
        os.close(ended)
        if os.getpid() == 1:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        process.kill()
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2:])
