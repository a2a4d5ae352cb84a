"""Keeping a certificate fresh beside other work: in an event loop, or in a loop of ``select``.

Both wait for two things, and renew on either: the time of the rotation, and word from the control
plane that there is something new.  When the control plane is gone, the certificate in force
stays, and asking again goes on at growing distances.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from mesh.agent.agent import FIRST_RETRY, LONGEST_RETRY, Agent, says_newer


class Watch:
    """The open question "is there something new?" of one agent, for a loop of ``select``."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.sock: socket.socket | None = None
        self._again = 0.0
        self._pause = FIRST_RETRY

    def ask(self) -> None:
        """Open the question, unless it is open or its time has not come."""
        if self.sock is not None or self.agent.clock() < self._again:
            return
        try:
            self.sock = self.agent.watch()
        except OSError:
            self._later()

    def timeout(self) -> float:
        """Seconds until something has to be done without being told."""
        when = self.agent.due
        if self.sock is None:
            when = min(when, self._again)
        return max(when - self.agent.clock(), 0.0)

    def heard(self) -> bool:
        """Read the answer; True when there is something new."""
        assert self.sock is not None
        try:
            answer = self.sock.recv(65536)
        except OSError:
            answer = b""
        self.close()
        if says_newer(answer):
            self._pause = FIRST_RETRY
            return True
        self._later()
        return False

    def _later(self) -> None:
        self._again = self.agent.clock() + self._pause
        self._pause = min(self._pause * 2, LONGEST_RETRY)

    def close(self) -> None:
        """Close the question."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None


async def keep_fresh(agent: Agent) -> None:
    """Renew the certificate when it is time or there is something new, until cancelled."""
    loop = asyncio.get_running_loop()
    watch = Watch(agent)
    try:
        while True:
            watch.ask()
            new = await _readable(loop, watch)
            if new or agent.clock() >= agent.due:
                # Asking blocks, and the control plane may be busy: traffic goes on meanwhile.
                await asyncio.to_thread(agent.try_renew)
                watch.close()  # the next question tells that the new certificate is in force
    finally:
        watch.close()


async def _readable(loop: asyncio.AbstractEventLoop, watch: Watch) -> bool:
    event = asyncio.Event()
    sock = watch.sock
    if sock is not None:
        loop.add_reader(sock, event.set)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(watch.timeout()):
                await event.wait()
    finally:
        if sock is not None:
            loop.remove_reader(sock)
    return event.is_set() and watch.heard()
