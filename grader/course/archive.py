"""Reading what strangers packed: folders, zips and tars, with limits, without unpacking.

Nothing is ever written to disk from an archive.  A tree is a list of names; only the files that a
lab lists are read, and each of them up to a limit.  Links, devices, pipes and names that leave the
archive are left out and noted; a bomb costs what the limits allow, then it is a sentence.

The limits are on what is *read*, never on what an archive claims about itself.
"""

from __future__ import annotations

import io
import mmap
import os
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

from grader.course.packed import Mapped, read_tar, read_zip
from grader.course.tree import (
    SUBMISSION,
    Entry,
    Limits,
    Reader,
    RefusedError,
    Tree,
    read_limited,
    shown,
)

_SIGNATURES = {
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\xfd7zX": "an xz archive",
    b"(\xb5/\xfd": "a zstd archive",
}


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
        return _archive(kind, Mapped(stream.fileno(), 0, access=mmap.ACCESS_READ), limits)


def open_bytes(data: bytes, limits: Limits = SUBMISSION) -> Tree | None:
    """The tree of an archive held in memory; None when it is no archive."""
    kind = kind_of(data[:512])
    if not kind:
        return None
    if len(data) > limits.archive:
        raise RefusedError(f"an archive in it is larger than {limits.archive >> 20} MB")
    return _archive(kind, io.BytesIO(data), limits)


def _archive(kind: str, stream: io.BytesIO | Mapped, limits: Limits) -> Tree:
    try:
        return read_zip(stream, limits) if kind == "zip" else read_tar(kind, stream, limits)
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
            return read_limited(stream, path.name, limit)
    except OSError as error:
        raise RefusedError(f"{shown(path.name)} cannot be read: {error.strerror}") from None
