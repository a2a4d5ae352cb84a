"""A process that has imported the sidecar, says so, and forks one for each message on its socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

from mesh.sidecar.main import SidecarOptions, run


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as control:
        control.send(b"ready")
        while True:
            data, fds, _, _ = socket.recv_fds(control, 65536, 4)
            if not data:
                return
            # The answer pipe tells the process id, and by its end that the sidecar has ended.
            ready, lifeline, errors, answer = fds
            if pid := os.fork():
                os.write(answer, b"%d\n" % pid)
                for fd in fds:
                    os.close(fd)
                continue
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(errors, 2)
            options = json.loads(data)
            try:
                run(SidecarOptions(ready_fd=ready, lifeline_fd=lifeline, **options))
            except BaseException as error:
                sys.stderr.write(f"Traceback: {error!r}\n")
            finally:
                os._exit(0)


main()
