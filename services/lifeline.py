"""Readiness and lifeline: how a child process and the one that started it know of each other.

A child writes one byte into the pipe ``ready_fd`` when it works: nobody polls, nobody sleeps.
And it reads from the pipe ``lifeline_fd``, whose other end its parent holds and never writes to:
the read returns only when the parent is gone, however it died, and then the child ends too.
"""

from __future__ import annotations

import asyncio
import os
import signal
from threading import Thread


def watch(lifeline_fd: int) -> None:
    """End this process at once when the lifeline breaks; makes a thread (-1: does nothing)."""
    if lifeline_fd < 0:
        return

    def wait() -> None:
        while os.read(lifeline_fd, 1):
            pass
        os._exit(0)

    Thread(target=wait, name="lifeline", daemon=True).start()


def ends(lifeline_fd: int, end: asyncio.Event) -> None:
    """Set ``end`` at SIGTERM or SIGINT, or when the lifeline breaks (-1: there is none)."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    if lifeline_fd >= 0:

        def readable() -> None:
            if not os.read(lifeline_fd, 1):
                loop.remove_reader(lifeline_fd)
                end.set()

        loop.add_reader(lifeline_fd, readable)


def ready(ready_fd: int) -> None:
    """Say once that this process is ready (-1: does nothing)."""
    if ready_fd >= 0:
        os.write(ready_fd, b"R")
        os.close(ready_fd)
