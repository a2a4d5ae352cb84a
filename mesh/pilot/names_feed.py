"""The names feed: how the DNS beside each sidecar learns its names, and who waits for it.

In a real mesh istiod sends the ``NameTable`` over ADS to the agent, which serves DNS.  Here the
agent asks ``GET /names/NODE/TAG`` with the tag of the table that it has; the answer comes when
there is another one, so its next question acknowledges the last answer.  A change is in force
only when every DNS has the names of it.  The tag is a digest: a new control plane knows it too.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Table:
    """Names and their addresses; ``tag`` stands for all of them."""

    names: dict[str, list[str]]
    tag: str

    @classmethod
    def of(cls, names: dict[str, list[str]]) -> Table:
        """Make a table."""
        text = json.dumps(names, sort_keys=True)
        return cls(names, hashlib.sha256(text.encode()).hexdigest()[:16])


@dataclass(slots=True)
class NamesFeed:
    """The table of each node, and the tag of the one that its DNS has."""

    _tables: dict[str, Table] = field(default_factory=dict)
    _held: dict[str, tuple[str, object]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, names: Mapping[str, dict[str, list[str]]]) -> None:
        """Set the names of all nodes; nodes that are not among them are forgotten."""
        self._tables = {node: Table.of(each) for node, each in names.items()}
        self._held = {node: each for node, each in self._held.items() if node in names}
        self._wake()

    async def next(self, node: str, tag: str, asking: object) -> Table:
        """Take an acknowledgement of ``asking``; return the table once it is not that of ``tag``."""
        self._held[node] = (tag, asking)
        self._wake()
        while node not in self._tables or self._tables[node].tag == tag:
            await self._changed.wait()
        return self._tables[node]

    def lost(self, node: str, asking: object) -> None:
        """Note that the DNS of ``node`` is gone, unless another one has asked since."""
        if self._held.get(node, ("", None))[1] is asking:
            del self._held[node]
            self._wake()

    async def wait(self, nodes: Collection[str] | None, timeout: float) -> list[str]:
        """Wait until DNS has the newest names; returns those that have not.

        Of ``nodes`` those that need names, which have to ask first; None: all that have asked.
        """
        wanted = set(self._tables if nodes is None else nodes)
        try:
            async with asyncio.timeout(timeout):
                while self._late(wanted, asked_only=nodes is None):
                    await self._changed.wait()
        except TimeoutError:
            return self._late(wanted, asked_only=nodes is None)
        return []

    def _late(self, wanted: set[str], *, asked_only: bool) -> list[str]:
        """Return the nodes whose DNS has other names than it should."""
        chosen = wanted & set(self._tables)
        if asked_only:
            chosen &= set(self._held)
        return sorted(
            each
            for each in chosen
            if each not in self._held or self._held[each][0] != self._tables[each].tag
        )

    def _wake(self) -> None:
        """Let everybody look again who waits now."""
        self._changed.set()
        self._changed = asyncio.Event()
