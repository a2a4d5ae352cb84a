"""Appears: what somebody waits for in a folder, told by the kernel (inotify) instead of looked for.

A container shows on a folder that both sides see that it is there: a socket takes its final name once
somebody listens behind it, a gate is opened by the process that waits at it, a file is written.
``Folder.fileno`` is readable as soon as one of these happened since the last ``forget``; whoever waits
begins to listen first, then tries, and waits between two tries, so nothing is missed.
Linux only, like this runtime: see ``man 7 inotify``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

_CLOEXEC, _NONBLOCK = 0o2000000, 0o4000
_OPEN, _CLOSE_WRITE, _MOVED_TO, _CREATE = 0x20, 0x08, 0x80, 0x100
_LIBC = ctypes.CDLL(None, use_errno=True)


class Folder:
    """What happens in a folder from now on; the folder has to be there."""

    def __init__(self, path: Path) -> None:
        self._fd = _checked(_LIBC.inotify_init1(_CLOEXEC | _NONBLOCK), path)
        mask = _OPEN | _CLOSE_WRITE | _MOVED_TO | _CREATE
        try:
            _checked(_LIBC.inotify_add_watch(self._fd, os.fsencode(path), mask), path)
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """Return what a poll may listen to."""
        return self._fd

    def forget(self) -> None:
        """Take away what has been told so far."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._fd, 1 << 16):
                pass

    def close(self) -> None:
        """Listen no more."""
        os.close(self._fd)

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _checked(result: int, path: Path) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return result
