"""Memo: what has been worked out, and what it was worked out from.

A control plane whose every change costs as much as the whole mesh does not scale.  istiod keeps
translated resources in a cache (``XdsCache``), each with the configuration that it depends on
(``DependentConfigs``), and a push says what changed (``PushRequest.ConfigsUpdated``).  Here nobody
writes these dependencies down: whoever reads something says so (``note``), and what is being worked
out at that moment depends on it from then on.  A change forgets what depended on it, directly or by
way of something else, and nothing more.
Source: istio/istio ``pilot/pkg/model/xds_cache.go``; the idea is that of incremental build systems.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast

_reading: ContextVar[set[Hashable] | None] = ContextVar("reading", default=None)


def note(source: Hashable) -> None:
    """Say that ``source`` was read: what is being worked out now depends on it."""
    sources = _reading.get()
    if sources is not None:
        sources.add(source)


@dataclass(slots=True)
class Memo:
    """Values by key, the sources of each, and for each source the keys that were made from it."""

    _values: dict[Hashable, Any] = field(default_factory=dict)
    _sources: dict[Hashable, set[Hashable]] = field(default_factory=dict)
    _readers: dict[Hashable, set[Hashable]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._values)

    def get[T](self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of ``key``, made now if it is not there; whoever asks depends on it."""
        note(key)
        if key in self._values:
            return cast(T, self._values[key])
        sources: set[Hashable] = set()
        outer = _reading.set(sources)
        try:
            value = make()
        finally:
            _reading.reset(outer)
        self._values[key] = value
        self._sources[key] = sources
        for each in sources:
            self._readers.setdefault(each, set()).add(key)
        return value

    def forget(self, changed: Iterable[Hashable]) -> set[Hashable]:
        """Forget everything that was made from what changed; return the keys that went."""
        gone: set[Hashable] = set()
        left = list(changed)
        while left:
            for key in self._readers.pop(left.pop(), ()):
                if key not in gone:
                    gone.add(key)
                    left.append(key)
        for key in gone:
            del self._values[key]
            for each in self._sources.pop(key):
                readers = self._readers.get(each)
                if readers is not None:
                    readers.discard(key)
                    if not readers:
                        del self._readers[each]
        return gone
