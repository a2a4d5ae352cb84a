"""HostSet: thousands of host names and patterns, of which one question is answered at once.

``*.example`` covers every name that ends in ``.example``; ``*`` covers all.  The analyzers ask for
every destination whether somebody serves it, so a comparison of each with each is too slow.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import cached_property

from mesh.topology import DOMAIN_SUFFIX

MAX_HOST = 255
"""No host is longer (RFC 1035); what is longer is looked at from its end."""


def resolve(host: str, namespace: str) -> str:
    """Return the fully qualified name of a host: short names belong to the namespace."""
    if host.startswith("*") or host == "":
        return host.lower()
    parts = host.lower().split(".")
    if len(parts) == 1:
        return f"{parts[0]}.{namespace}.svc.{DOMAIN_SUFFIX}"
    if parts[-1] == "svc" and len(parts) == 3:
        return f"{'.'.join(parts)}.{DOMAIN_SUFFIX}"
    return host.lower()


def covers(pattern: str, host: str) -> bool:
    """True when a host pattern (``*``, ``*.suffix``, a name) covers a host."""
    return pattern in ("*", host) or (pattern.startswith("*") and host.endswith(pattern[1:]))


class HostSet:
    """Names and patterns (``*``, ``*.suffix``)."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = frozenset(hosts)
        self._suffixes = frozenset(each[1:] for each in self._hosts if each.startswith("*"))

    @cached_property
    def _backwards(self) -> list[str]:
        return sorted(each[::-1] for each in self._hosts)

    def best(self, host: str) -> str:
        """Return what covers a host best, itself or the longest pattern; empty: nothing does."""
        if host in self._hosts:
            return host
        if self._suffixes:
            for start in range(max(0, len(host) - MAX_HOST), len(host) + 1):
                if host[start:] in self._suffixes:
                    return f"*{host[start:]}"
        return ""

    def covers(self, host: str) -> bool:
        """True when some name or pattern covers a host (or all that a pattern covers)."""
        return bool(self.best(host))

    def any_within(self, pattern: str) -> bool:
        """True when a pattern (or name) covers at least one of these."""
        if not pattern.startswith("*"):
            return pattern in self._hosts
        suffix = pattern[1:][::-1]
        at = bisect_left(self._backwards, suffix)
        return at < len(self._backwards) and self._backwards[at].startswith(suffix)

    def meets(self, host: str) -> bool:
        """True when one of these covers the host or is covered by it."""
        return self.covers(host) or self.any_within(host)
