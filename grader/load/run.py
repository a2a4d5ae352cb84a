"""The parent's side of the load driver: start it, hand it plans, read its observations.

``Driver()`` returns at once; the process imports Locust while the mesh starts.  The driver has a
process group of its own: Ctrl-C reaches the grader alone, and ``close`` ends all of the group.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from grader.load.observation import Observation, from_dict
from grader.load.plan import Plan

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
"""Seconds beyond a plan's request timeout without a word before the driver is given up."""

Decide = Callable[[tuple[Observation, ...]], bool]
"""Sees all observations so far after each batch; True asks for another batch."""


class LoadError(Exception):
    """The driver could not do its work: nobody's answer is wrong, the run is ungradable."""


class Driver:
    """The child process; a context manager.  ``workers`` of Locust (0: it sends by itself)."""

    def __init__(self, workers: int = 0) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.lower().endswith("_proxy") and not name.startswith("LOCUST_")
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "grader.load", f"--workers={workers}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=PROJECT,
            env=environment,
            start_new_session=True,
        )
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._complaints: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_complaints, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the driver."""
        return self._process.pid

    def run(self, plan: Plan, decide: Decide) -> tuple[Observation, ...]:
        """Send ``plan`` (mode ``barrier``) batch by batch while ``decide`` wants more.

        Returns the observations in order of issue; raises LoadError.
        """
        self._write(plan.to_json())
        seen: list[Observation] = []
        while True:
            event = self._next(plan)
            if event["event"] == "batch":
                seen.extend(from_dict(item) for item in event["observations"])
                ordered = tuple(sorted(seen, key=lambda item: item.index))
                self._write("continue" if decide(ordered) else "stop")
            elif event["event"] == "done":
                return reconcile(seen, event)

    def stream(self, plan: Plan) -> Stream:
        """Start ``plan`` (mode ``stream``) and return while it runs."""
        self._write(plan.to_json())
        return Stream(self, plan)

    def close(self) -> None:
        """End the driver and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise LoadError(self._epitaph()) from error

    def _next(self, plan: Plan) -> dict[str, Any]:
        """The next event that matters; LoadError when the driver refused, ended or fell silent."""
        while True:
            try:
                event = self._events.get(timeout=plan.timeout + plan.think_seconds + PATIENCE)
            except queue.Empty:
                raise LoadError(
                    f"the load driver has said nothing for {plan.timeout + PATIENCE:.0f} s"
                ) from None
            if event is None:
                raise LoadError(self._epitaph())
            if event["event"] in ("refused", "failed"):
                raise LoadError(f"the load driver: {event['reason']}")
            if event["event"] != "ready":
                return event

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                self._events.put(json.loads(line))
        self._events.put(None)

    def _read_complaints(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._complaints.append(line.rstrip())
            del self._complaints[:-20]

    def _epitaph(self) -> str:
        last = next((line for line in reversed(self._complaints) if line), "it left no message")
        return f"the load driver ended too early: {last}"


class Stream:
    """Traffic that flows while the grader does something else; ``stop`` must be called."""

    def __init__(self, driver: Driver, plan: Plan) -> None:
        self._driver = driver
        self._plan = plan
        self._seen: list[Observation] = []
        self._done: dict[str, Any] | None = None

    def wait_for(self, count: int, *, since: float = 0.0) -> None:
        """Return when ``count`` answered requests began after ``since`` (seconds since 1970).

        LoadError when the plan's budget ends before.
        """
        while sum(1 for item in self._seen if item.start >= since) < count:
            if self._done is not None:
                raise LoadError(f"{self._plan.requests} requests were too few for {count} more")
            self._take()

    def stop(self) -> tuple[Observation, ...]:
        """Let the requests under way finish; returns all observations in order of issue."""
        if self._done is None:
            self._driver._write("stop")
        while self._done is None:
            self._take()
        return reconcile(self._seen, self._done)

    def _take(self) -> None:
        event = self._driver._next(self._plan)
        if event["event"] == "batch":
            self._seen.extend(from_dict(item) for item in event["observations"])
        elif event["event"] == "done":
            self._done = event


def reconcile(seen: list[Observation], done: dict[str, Any]) -> tuple[Observation, ...]:
    """Check ``issued = observed + errors`` on both sides of the pipe; LoadError otherwise."""
    errors = sum(1 for item in seen if item.error)
    told = (done["issued"], done["observed"], done["errors"])
    if told != (len(seen), len(seen) - errors, errors) or done["locust"] != len(seen):
        raise LoadError(
            f"the counts of the load driver disagree: issued {done['issued']}, observed "
            f"{done['observed']}, errors {done['errors']}, Locust counted {done['locust']}, "
            f"{len(seen)} arrived"
        )
    return tuple(sorted(seen, key=lambda item: item.index))
