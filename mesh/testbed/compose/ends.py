"""Ends: Docker tells when a container of the mesh ends, so that nobody who waits for it has to look.

``fileno`` is readable from the moment on that something has ended; ``heard`` says so once.  Listening
begins with the block, so whoever looks at a container then, and waits after that, misses nothing.
See it with ``docker events --filter type=container --filter event=die``.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from threading import Thread

from docker.client import DockerClient
from docker.errors import DockerException

from mesh.testbed.client import TestbedError


class Ends:
    """The ends of containers with ``labels``, while the block runs; TestbedError without a Docker."""

    def __init__(self, docker: DockerClient, labels: Mapping[str, str]) -> None:
        wanted = [f"{name}={value}" for name, value in labels.items()]
        chosen = {"type": ["container"], "event": ["die"], "label": wanted}
        since = int(time.time())  # Docker answers a moment before it listens
        try:
            self._events = docker.events(filters=chosen, since=since)
        except DockerException as problem:
            raise TestbedError(f"Docker does not tell what ends: {problem}") from None
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = Thread(target=self._listen, name="ends", daemon=True)

    def _listen(self) -> None:
        try:
            for _ in self._events:
                os.write(self._write, b"1")
        except (DockerException, OSError, ValueError, AttributeError):
            pass  # the end of the block, or Docker's own, which ``heard`` tells
        finally:
            os.close(self._write)

    def fileno(self) -> int:
        """Return what a poll may listen to."""
        return self._read

    def heard(self) -> bool:
        """Whether something has ended since the last call; TestbedError when Docker has."""
        try:
            told = os.read(self._read, 1 << 12)
        except BlockingIOError:
            return False
        if not told:
            raise TestbedError("Docker has ended, or does not answer any more")
        return True

    def __enter__(self) -> Ends:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(AttributeError, OSError):  # it has ended by itself
            self._events.close()
        self._thread.join()
        os.close(self._read)
