"""Traffic from a notebook: some customers at a time, and what each of them saw.

Not the grader's load (that is Locust, in a process of its own): a cell wants hundreds of requests, in
batches, so that a figure can grow while they come in.  Every request has an id of its own, by which
the sidecars' records are found.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from mesh.testbed.base import Answer
from mesh.testbed.client import NoAnswerError

_VERSION = re.compile(r"recommendation (v\d+)\b")


class Asking(Protocol):
    """The part of a testbed that sends one request."""

    def request(
        self,
        path: str,
        *,
        from_pod: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes = b"",
    ) -> Answer:
        """Send it, on a connection of its own."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: ``number`` from 1, ``status`` 0 when no answer came, ``started`` Unix time."""

    number: int
    request_id: str
    status: int
    text: str
    milliseconds: float
    started: float = 0.0

    @property
    def version(self) -> str:
        """The version of recommendation that answered, ``""`` for none."""
        found = _VERSION.search(self.text) if self.status == 200 else None
        return found[1] if found else ""

    @property
    def kind(self) -> str:
        """What to count it as: the version, else the status, else "no answer"."""
        return self.version or (str(self.status) if self.status else "no answer")


@dataclass(frozen=True, slots=True)
class Question:
    """What every request of a stretch asks; ``from_pod`` None: at the gateway."""

    path: str = "/"
    from_pod: str | None = None
    headers: Mapping[str, str] | None = None
    method: str = "GET"
    body: bytes = b""


def ask(
    bed: Asking,
    number: int,
    request_id: str,
    what: Question,
    clock: Callable[[], float] = time.perf_counter,
) -> Seen:
    """Send one request with this id; a broken connection is an observation, no error."""
    headers = {"x-request-id": request_id, **(what.headers or {})}
    started, begin = time.time(), clock()
    try:
        answer = bed.request(
            what.path,
            from_pod=what.from_pod,
            headers=headers,
            method=what.method,
            body=what.body,
        )
        status, text = answer.status, answer.text.strip()
    except NoAnswerError as problem:
        status, text = 0, str(problem)
    return Seen(number, request_id, status, text, (clock() - begin) * 1000, started)


def batches(
    bed: Asking, count: int, what: Question, *, name: str, users: int = 4, batch: int = 20
) -> Iterator[list[Seen]]:
    """Send ``count`` requests, ``users`` at a time; yields what was seen so far after each batch."""
    seen: list[Seen] = []
    with ThreadPoolExecutor(max_workers=users) as pool:
        for first in range(1, count + 1, batch):
            numbers = range(first, min(first + batch, count + 1))
            seen += pool.map(lambda at: ask(bed, at, f"{name}-{at:05d}", what), numbers)
            yield list(seen)


def counted(seen: Sequence[Seen]) -> dict[str, int]:
    """How many of each kind, by name."""
    return dict(sorted(Counter(each.kind for each in seen).items()))


def told(seen: Sequence[Seen]) -> str:
    """``200 requests: v1 178, v2 22``."""
    return f"{len(seen)} requests: " + ", ".join(f"{k} {n}" for k, n in counted(seen).items())


def median(seen: Sequence[Seen]) -> float:
    """The median time in milliseconds; 0 without requests."""
    times = sorted(each.milliseconds for each in seen)
    return times[len(times) // 2] if times else 0.0
