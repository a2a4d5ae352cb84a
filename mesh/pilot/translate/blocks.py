"""Blocks: what is made of all services is put together from blocks of them.

A proxy that knows ten thousand services has thirty thousand clusters, and a change of one of them
must not cost asking for all.  So the services, in their order, are cut into blocks; what a block's
services give is kept together (``mesh.pilot.memo``), and a change makes its own block anew.  Where a
block ends only the name of its last service decides: one that comes or goes moves no other border.
The idea is that of content-defined chunking, by which rsync and backups find what did not change.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

Block = tuple[str, ...]
"""The names of some services that follow each other."""
SIZE = 64
"""Services in a block, on average."""


def cut(hostnames: Iterable[str]) -> list[Block]:
    """Return the names in blocks, in their order."""
    found: list[Block] = []
    block: list[str] = []
    for hostname in hostnames:
        block.append(hostname)
        if crc32(hostname.encode()) % SIZE == 0:
            found.append(tuple(block))
            block = []
    return [*found, tuple(block)] if block else found
