"""The processes of this machine, for tests of what must have ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def commands() -> Iterator[tuple[int, list[bytes]]]:
    """Every process with the words of its command; those that end meanwhile are left out."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        yield int(folder.name), words[:-1]
