"""Follow: read files of lines that only grow, a bounded piece at a time.

Each line is handed out once, whoever asks how often; a line without its end stays for the next
time (a killed process never ends it).  Nothing that was read is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CHUNK = 256 * 1024
"""Bytes that are read at once: some 300 records."""


@dataclass(slots=True)
class Follower:
    """One file and how far it was read."""

    path: Path
    offset: int = 0
    _rest: bytes = b""

    def lines(self) -> Iterator[list[bytes]]:
        """Yield what is new, in pieces of whole lines; nothing when there is no file."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self.offset)
            while data := file.read(CHUNK):
                self.offset += len(data)
                lines = (self._rest + data).split(b"\n")
                self._rest = lines.pop()
                yield [line for line in lines if line]


@dataclass(slots=True)
class Followers:
    """The files of all pods, by path."""

    _files: dict[str, Follower] = field(default_factory=dict)

    def of(self, path: str) -> Follower:
        """Return the follower of ``path``."""
        known = self._files.get(path)
        if known is None:
            known = self._files[path] = Follower(Path(path))
        return known
