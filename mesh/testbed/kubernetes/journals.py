"""Journals: what pods wrote to their standard output, read by ``kubectl logs --follow``.

One process a container is left running, so lines of a killed pod are not lost with it.  What a
container prints reaches ``kubectl`` a moment later; a line of the kit's own (a request with a number, made after
everything else) is the barrier: a container's lines keep their order, so when it has come, all
before it have.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes.kubectl import Kubectl

TEXT = "text"
SECONDS = 30.0
"""The longest that a line may take; Istio lets Envoy write its log every second."""


@dataclass(slots=True)
class Follower:
    """The JSON lines of one container, from the moment on at which it is followed."""

    namespace: str
    pod: str
    container: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    """Each as an object; what is none is its field ``TEXT``."""
    _process: subprocess.Popen[str] | None = None
    _thread: threading.Thread | None = None
    _news: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False

    def start(self, *, whole: bool = False) -> None:
        """Follow what is written from now on; ``whole``: from the container's beginning."""
        tail = [] if whole else ["--tail=0"]
        self._process = subprocess.Popen(
            Kubectl(self.namespace).command(
                "logs", "--follow", *tail, self.pod, "-c", self.container
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._thread = threading.Thread(target=self._read, name=f"logs {self.pod}", daemon=True)
        self._thread.start()

    def expect(self, path: str) -> None:
        """Return when a request for ``path`` is among the lines; TestbedError when it never is."""
        if self.wait_for(path, SECONDS) is None:
            why = "its log ended" if self._ended else f"nothing came within {SECONDS:.0f} s"
            raise TestbedError(
                f"the log of {self.container} in {self.pod} cannot be read to its end: {why}"
            )

    def wait_for(self, path: str, seconds: float) -> dict[str, Any] | None:
        """Return the line of a request for ``path`` once it is there, None after ``seconds``."""
        end, seen = time.monotonic() + seconds, 0
        with self._news:
            while True:
                for line in self.lines[seen:]:
                    if path in str(line.get("path", line.get(TEXT, ""))):
                        return line
                seen = len(self.lines)
                left = end - time.monotonic()
                if self._ended or left <= 0:
                    return None
                self._news.wait(left)

    def read(self) -> list[dict[str, Any]]:
        """Return the lines so far."""
        with self._news:
            return list(self.lines)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._thread is not None:
            self._thread.join()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with self._news:
                    self.lines.append(parse(line))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def parse(line: str) -> dict[str, Any]:
    """Return a line's JSON object; any other line (a proxy's own messages) is the field ``TEXT``."""
    if line.startswith("{"):
        with contextlib.suppress(ValueError):
            return dict(json.loads(line))
    return {TEXT: line}
