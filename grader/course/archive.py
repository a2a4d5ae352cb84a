"""Reading what strangers packed: folders, zips and tars, with limits, without unpacking.

Nothing is ever written to disk from an archive.  A tree is a list of names; only the files that a
lab lists are read, and each of them up to a limit.  Links, devices, pipes and names that leave the
archive are left out and noted; a bomb costs what the limits allow, then it is a sentence.

The limits are on what is *read*, never on what an archive claims about itself.
"""

from __future__ import annotations

import bz2
import gzip
import io
import mmap
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

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

_SIGNATURES = {
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\xfd7zX": "an xz archive",
    b"(\xb5/\xfd": "a zstd archive",
}


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


def kind_of(head: bytes) -> str:
    """``zip``, ``tar``, ``gz``, ``bz2``, ``""`` for no archive; RefusedError for other archives."""
    if head[:4] in (b"PK\3\4", b"PK\5\6", b"PK\7\x08"):
        return "zip"
    if head[:2] == b"\x1f\x8b":
        return "gz"
    if head[:3] == b"BZh":
        return "bz2"
    if head[257:262] == b"ustar":
        return "tar"
    for signature, what in _SIGNATURES.items():
        if head.startswith(signature):
            raise RefusedError(f"{what} cannot be read here: hand in a zip or a .tar.gz")
    return ""


def open_tree(path: Path, limits: Limits = SUBMISSION) -> Tree:
    """The tree of a folder, a zip or a tar; a plain file is a tree of one file.

    RefusedError when it cannot be read at all.
    """
    try:
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            return _folder(path, limits)
        if not stat.S_ISREG(found.st_mode):
            raise RefusedError(f"{shown(path.name)} is a link or a special file, no submission")
        with _open_plain(path) as stream:
            head = stream.read(512)
    except OSError as error:
        raise RefusedError(f"{shown(path.name)} cannot be read: {error.strerror}") from None
    kind = kind_of(head)
    if not kind:
        return Tree([Entry(path.name, found.st_size, _reader(path))])
    if found.st_size > limits.archive:
        raise RefusedError(f"the archive is larger than {limits.archive >> 20} MB")
    with _open_plain(path) as stream:
        if found.st_size <= SUBMISSION.archive:
            return _archive(kind, io.BytesIO(stream.read()), limits)
        return _archive(kind, _Mapped(stream.fileno(), 0, access=mmap.ACCESS_READ), limits)


class _Mapped(mmap.mmap):
    """A bulk download: far too large for memory, and nothing that has to be closed."""

    def seekable(self) -> bool:
        return True


def open_bytes(data: bytes, limits: Limits = SUBMISSION) -> Tree | None:
    """The tree of an archive held in memory; None when it is no archive."""
    kind = kind_of(data[:512])
    if not kind:
        return None
    if len(data) > limits.archive:
        raise RefusedError(f"an archive in it is larger than {limits.archive >> 20} MB")
    return _archive(kind, io.BytesIO(data), limits)


def _archive(kind: str, stream: io.BytesIO | _Mapped, limits: Limits) -> Tree:
    try:
        return _zip(stream, limits) if kind == "zip" else _tar(kind, stream, limits)
    except RefusedError:
        raise
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise RefusedError(f"the archive is damaged ({shown(str(error))})") from None
    except (ValueError, OverflowError, RuntimeError, NotImplementedError, MemoryError) as error:
        raise RefusedError(f"the archive cannot be read ({shown(str(error))})") from None


# Folders.


def _folder(root: Path, limits: Limits) -> Tree:
    tree = Tree()
    for place, folders, files in os.walk(root, followlinks=False):
        folders.sort()
        for folder in folders:
            if (Path(place) / folder).is_symlink():
                tree.note(f"{shown(folder)} is a link and was left out")
        for name in sorted(files):
            path = Path(place) / name
            inside = path.relative_to(root).as_posix()
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                tree.note(f"{shown(inside)} is a link or a special file and was left out")
            elif len(tree.entries) >= limits.entries:
                tree.note(f"more than {limits.entries} files: the others were left out")
                return tree
            else:
                tree.entries.append(Entry(inside, found.st_size, _reader(path)))
    return tree


def _reader(path: Path) -> Reader:
    return lambda limit: _read_path(path, limit)


def _open_plain(path: Path) -> IO[bytes]:
    """Open a regular file; a link or a pipe put there meanwhile is refused, and never waited for."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise RefusedError(f"{shown(path.name)} is no plain file")
    return os.fdopen(number, "rb")


def _read_path(path: Path, limit: int) -> bytes:
    try:
        with _open_plain(path) as stream:
            return _read_limited(stream, path.name, limit)
    except OSError as error:
        raise RefusedError(f"{shown(path.name)} cannot be read: {error.strerror}") from None


def _read_limited(stream: IO[bytes], name: str, limit: int) -> bytes:
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise RefusedError(f"{shown(name)} is larger than {limit >> 10} kB")
    return data


# Zips.


def _zip(stream: io.BytesIO | _Mapped, limits: Limits) -> Tree:
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


def _directory_size(stream: io.BytesIO | _Mapped) -> int:
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
                return _read_limited(stream, info.filename, limit)
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


def _tar(kind: str, stream: io.BytesIO | _Mapped, limits: Limits) -> Tree:
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
