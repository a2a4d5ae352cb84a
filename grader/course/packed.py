"""The readers of zips and tars: forwards, with limits, leaving out what is no plain file."""

from __future__ import annotations

import bz2
import gzip
import io
import mmap
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, cast

from grader.course.tree import Entry, Limits, Reader, RefusedError, Tree, clean, read_limited, shown


class Mapped(mmap.mmap):
    """A bulk download: far too large for memory, and nothing that has to be closed."""

    def seekable(self) -> bool:
        """As ``zipfile`` asks."""
        return True


def read_zip(stream: io.BytesIO | Mapped, limits: Limits) -> Tree:
    """The tree of a zip; BadZipFile, RefusedError."""
    if _directory_size(stream) > limits.directory:
        raise RefusedError("the zip lists far more files than a submission has")
    archive = zipfile.ZipFile(cast(IO[bytes], stream))
    tree = Tree()
    for info in archive.infolist():
        if info.is_dir():
            continue
        path = clean(info.filename)
        if not path:
            tree.note(f"{shown(info.filename)} would lie outside the submission and was left out")
        elif stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            tree.note(f"{shown(path)} is a link or a special file and was left out")
        elif len(tree.entries) >= limits.entries:
            tree.note(f"more than {limits.entries} files: the others were left out")
            break
        else:
            tree.entries.append(Entry(path, info.file_size, _member(archive, info)))
    return tree


def _directory_size(stream: io.BytesIO | Mapped) -> int:
    """How much a zip's table of contents takes, before it is read; BadZipFile without one."""
    stream.seek(0, io.SEEK_END)
    size = stream.tell()
    stream.seek(max(0, size - 66_000))
    tail = stream.read(66_000)
    stream.seek(0)
    place = tail.rfind(b"PK\5\6")
    if place < 0 or len(tail) - place < 22:
        raise zipfile.BadZipFile("it has no table of contents")
    claimed = int.from_bytes(tail[place + 12 : place + 16], "little")
    return size if claimed == 0xFFFFFFFF else claimed


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Reader:
    def read(limit: int) -> bytes:
        name = shown(info.filename)
        if info.flag_bits & 1:
            raise RefusedError(f"{name} is encrypted")
        try:
            with archive.open(info) as stream:
                return read_limited(stream, info.filename, limit)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise RefusedError(f"{name} is damaged in the zip ({shown(str(error))})") from None
        except (NotImplementedError, RuntimeError, ValueError, OverflowError, MemoryError) as error:
            raise RefusedError(f"{name} cannot be read ({shown(str(error))})") from None

    return read


# Tars: one pass, since a packed tar can only be read forwards.


Unpacked = IO[bytes] | gzip.GzipFile | bz2.BZ2File


class _Tap(io.RawIOBase):
    """Passes a stream on until ``limit`` bytes have come out of it."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile | bz2.BZ2File, limit: int) -> None:
        self._stream = stream
        self._left = limit
        self._limit = limit

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        wanted = min(size if size >= 0 else 1 << 20, 1 << 20)
        data = self._stream.read(wanted)
        self._left -= len(data)
        if self._left < 0:
            raise RefusedError(f"the archive unpacks to more than {self._limit >> 20} MB")
        return data


def read_tar(kind: str, stream: io.BytesIO | Mapped, limits: Limits) -> Tree:
    """The tree of a tar in one pass, since a packed one can only be read forwards."""
    unpacked: Unpacked = cast(IO[bytes], stream)
    if kind == "gz":
        unpacked = gzip.GzipFile(fileobj=stream)
    elif kind == "bz2":
        unpacked = bz2.BZ2File(stream)
    tap = _Tap(unpacked, limits.unpacked)
    tree = Tree()
    with tarfile.open(fileobj=tap, mode="r|") as archive:
        for member in _members(archive):
            path = clean(member.name)
            if member.isdir():
                continue
            if not path:
                tree.note(f"{shown(member.name)} would lie outside the submission and was left out")
            elif not member.isreg() or member.issparse():
                tree.note(f"{shown(path)} is a link or a special file and was left out")
            elif len(tree.entries) >= limits.entries:
                tree.note(f"more than {limits.entries} files: the others were left out")
                break
            else:
                tree.entries.append(_held(archive, member, path, limits.file))
    return tree


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # the list would grow without a limit
        yield member


def _held(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, limit: int) -> Entry:
    """A member with its bytes, or with the refusal that it is too large."""
    if member.size > limit:

        def refuse(_: int) -> bytes:
            raise RefusedError(f"{shown(path)} is larger than {limit >> 10} kB")

        return Entry(path, member.size, refuse)
    stream = archive.extractfile(member)
    data = stream.read(limit) if stream is not None else b""
    return Entry(path, member.size, lambda _: data)
