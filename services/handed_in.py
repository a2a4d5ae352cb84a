"""A part of an application that somebody else wrote: it runs in a process of its own.

The command is given in the option ``code``; a lab's grader puts it behind a fence.  One line of
JSON goes in, one comes out.  The process starts with the first question, starts anew after
``reload``, and ends with the application, since its standard input does.

An answer that does not come in ``SECONDS`` or has no end, a process that ends, and an error that the
code reports are all a ``HandedInError`` with one sentence.  The start may take ``START``: a fence, an
interpreter and its modules have to be there first.  Code that does not start, and code that ended or
hung ``TRIES`` times running, is not started again before the next ``reload``: hundreds of requests
would wait for it, each as long.
"""

from __future__ import annotations

import json
import select
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from typing import Any

SECONDS = 10.0
"""Far more than any honest answer takes, on a busy machine too."""

START = 40.0
"""From the start until it may be asked; less than who asks the application waits."""
TRIES = 2
MOST = 1 << 20
"""Bytes of an answer: who writes without an end would fill this process' memory."""


class HandedInError(Exception):
    """The code gave no answer; the text says why."""


class HandedIn:
    """The process behind ``command``; safe to ask from several threads, one at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = [str(word) for word in command]
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()
        self._ended, self._why = 0, ""
        self._ready, self._begun = False, 0.0

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to ``message``; HandedInError when there is none."""
        with self._lock:
            if self._ended >= TRIES:
                raise HandedInError(self._why)
            try:
                process = self._process or self._start()
                if not self._ready:
                    self._exchange(process, "")
                    self._ready = True
                found = self._exchange(process, json.dumps(message))
            except HandedInError as error:
                if self._process is None:
                    self._ended += 1 if self._ready else TRIES
                    self._why = str(error)
                raise
            self._ended = 0
            return found

    def reload(self) -> None:
        """End the process: the next question starts it again, with the code as it is then."""
        with self._lock:
            self._end()
            self._ended = 0

    def begin(self) -> None:
        """Start the process now and do not wait for it: no question then does."""
        with self._lock, suppress(HandedInError):  # the next question says it
            if self._process is None:
                self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._ready, self._begun = False, time.monotonic()
        try:
            process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
        except OSError as problem:
            raise HandedInError(f"the code could not be started: {problem.strerror}") from None
        self._process = process
        return process

    def _exchange(self, process: subprocess.Popen[bytes], line: str) -> dict[str, Any]:
        assert process.stdin is not None
        try:
            if line:
                process.stdin.write(line.encode() + b"\n")
            begun, limit = (time.monotonic(), SECONDS) if line else (self._begun, START)
            found = json.loads(self._line(process, begun, limit))
        except (OSError, ValueError):
            self._end()
            raise HandedInError("the code ended without an answer") from None
        if not isinstance(found, dict) or "error" in found:
            if not line:
                self._end()
            raise HandedInError(str(found["error"] if isinstance(found, dict) else found))
        return found

    def _line(self, process: subprocess.Popen[bytes], begun: float, limit: float) -> bytes:
        assert process.stdout is not None
        data = b""
        end = begun + limit
        while not data.endswith(b"\n"):
            left = max(0.0, end - time.monotonic())
            if not select.select([process.stdout], [], [], left)[0]:
                self._end()
                raise HandedInError(f"the code gave no answer in {limit:g} s")
            piece = process.stdout.read(1 << 16)
            if not piece:
                raise OSError
            data += piece
            if len(data) > MOST:
                self._end()
                raise HandedInError(f"the code gave an answer of more than {MOST} bytes")
        return data

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
