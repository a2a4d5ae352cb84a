"""The machine: how busy it is, and whether it stalled while a verdict was taken.

A check that times something is only as good as the machine it ran on.  ``StallWatch`` lives beside
a run and measures how late its own ticks come; ``Meter`` tells how much of the processors was idle
between two looks, for the decision whether one mesh more is carried.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

TICK = 0.05
"""Seconds between two ticks of the stall watch."""

STALL = 1.0
"""A tick that comes later than this many seconds throws the verdict away."""

MESH_MEMORY = 500 << 20
"""Bytes that one more mesh with its load may take."""

IDLE = 0.25
"""Share of all processors that must have been idle for one more mesh."""


@dataclass(frozen=True, slots=True)
class Stall:
    """``worst`` is the latest tick, in seconds; ``jumped`` how far the wall clock left the steady one."""

    worst: float
    jumped: float

    @property
    def happened(self) -> bool:
        """True when a verdict taken meanwhile is worth nothing."""
        return self.worst > STALL or abs(self.jumped) > STALL


class StallWatch:
    """A thread that ticks; use as a context manager, then read ``stall``."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="stall-watch", daemon=True)
        self._worst = 0.0
        self._begin = (clock(), wall())

    def __enter__(self) -> StallWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _tick(self) -> None:
        before = self._clock()
        while not self._end.wait(TICK):
            now = self._clock()
            self._worst = max(self._worst, now - before - TICK)
            before = now

    @property
    def stall(self) -> Stall:
        """What was seen so far."""
        steady, wall = self._begin
        return Stall(self._worst, (self._wall() - wall) - (self._clock() - steady))


@dataclass(frozen=True, slots=True)
class Load:
    """``idle`` is the share of all processors since the last look, ``memory`` bytes available."""

    idle: float
    memory: int


class Meter:
    """Measures the load between two calls."""

    def __init__(self) -> None:
        self._last = psutil.cpu_times()

    def look(self) -> Load:
        """The load since the last call (or the start)."""
        now = psutil.cpu_times()
        spent = {name: getattr(now, name) - getattr(self._last, name) for name in now._fields}
        # guest time is counted in user time already
        whole = sum(value for name, value in spent.items() if not name.startswith("guest"))
        self._last = now
        idle = spent["idle"] + spent.get("iowait", 0.0)
        return Load(idle / whole if whole > 0 else 0.0, psutil.virtual_memory().available)


def admits(load: Load, running: int, most: int) -> bool:
    """Whether one more mesh may start: always the first one, then what was measured decides."""
    if running == 0:
        return True
    return running < most and load.idle >= IDLE and load.memory >= MESH_MEMORY


def most_meshes() -> int:
    """How many meshes at once are tried when nobody says: two a processor."""
    return 2 * (os.cpu_count() or 1)


def facts() -> dict[str, object]:
    """What evidence says about the machine."""
    return {
        "processors": os.cpu_count(),
        "load_average": [round(each, 2) for each in os.getloadavg()],
        "memory_available": psutil.virtual_memory().available,
    }
