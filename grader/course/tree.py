"""A tree: what a stranger handed in, as a list of names with limits, and nothing on the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

from mesh.istio.problem import one_line


class RefusedError(Exception):
    """A submission, or a file of it, that is not read; the text is the reason, for the student."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one submission may cost; sizes in bytes.

    ``archive`` is a packed file, ``unpacked`` all that a tar or the archives within a submission may
    unpack to, ``file`` one file that the lab lists, ``entries`` the names, ``directory`` a zip's own
    table of contents.
    """

    archive: int = 64 << 20
    unpacked: int = 64 << 20
    file: int = 1 << 20
    entries: int = 5000
    directory: int = 2 << 20


SUBMISSION = Limits()
"""For what a student packed."""

BULK = Limits(archive=8 << 30, unpacked=8 << 30, file=64 << 20, entries=200_000, directory=64 << 20)
"""For the bulk download itself: the learning platform packed it, it may be large."""

Reader = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file of a tree: ``path`` is relative, with ``/``, and stays inside.

    ``size`` is what is claimed; ``read`` takes the most bytes it may have, or raises RefusedError.
    """

    path: str
    size: int
    read: Reader

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(slots=True)
class Tree:
    """The files of a submission, and sentences on what was left out."""

    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep the first few remarks: a hostile archive could make thousands."""
        if len(self.notes) < 10 and text not in self.notes:
            self.notes.append(text)


def shown(name: str) -> str:
    """A stranger's file name for a terminal or a page: one line, no control characters, short."""
    text = one_line(name)
    return text if len(text) <= 80 else f"{text[:77]}..."


def clean(name: str) -> str:
    """The path inside the tree that ``name`` means; ``""`` when it leaves it or cannot be meant."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or "\0" in name or len(name) > 1000:
        return ""
    if len(parts[0]) == 2 and parts[0][1] == ":":
        return ""
    return "/".join(part for part in parts if part not in ("", "."))


def read_limited(stream: IO[bytes], name: str, limit: int) -> bytes:
    """All of a stream; RefusedError when it holds more than ``limit`` bytes."""
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise RefusedError(f"{shown(name)} is larger than {limit >> 10} kB")
    return data
