"""The feed: how Mixer learns the mesh, its pods and what is applied, and who waits for it.

In a real mesh Mixer read its configuration from Galley (MCP) and the pods from Kubernetes.  Here
it asks ``POST /mixer-feed`` with the version that it has; the answer comes when there is a newer
one, so its next question acknowledges the last answer.  A change is in force only when it has.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class MixerFeed:
    """The newest version, the one that Mixer has, and what it could not use (``error``)."""

    version: int = 0
    acknowledged: int = -1
    subscribed: bool = False
    error: str = ""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self, after: int, error: str) -> int:
        """Take an acknowledgement; return the newest version once it is newer than ``after``."""
        self.subscribed, self.acknowledged, self.error = True, after, error
        self._wake()
        while self.version <= after:
            await self._changed.wait()
        return self.version

    def offer(self, version: int) -> None:
        """Make ``version`` the newest one."""
        self.version = version
        self._wake()

    def lost(self) -> None:
        """Note that Mixer is gone: nobody waits for it."""
        self.subscribed = False
        self._wake()

    async def wait(self, timeout: float) -> str:
        """Wait until Mixer has the newest version; return ``""``, or why it has not."""
        version = self.version
        try:
            async with asyncio.timeout(timeout):
                while self.subscribed and self.acknowledged < version:
                    await self._changed.wait()
        except TimeoutError:
            return f"Mixer did not take the configuration within {timeout:g} s."
        return f"Mixer refused the configuration: {self.error}" if self.error else ""

    def _wake(self) -> None:
        """Let everybody look again who waits now."""
        self._changed.set()
        self._changed = asyncio.Event()
