"""From attempts to a mark: late policy, number of attempts, best of; one pure function.

    mark = decide(attempts, Policy(...), due, extension)

Nothing here knows a clock, a file or a student: two attempts go in, a mark and the sentence that
explains it come out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Keep = Literal["best", "last", "first", "average"]
KEEPS: tuple[Keep, ...] = ("best", "last", "first", "average")


@dataclass(frozen=True, slots=True)
class Policy:
    """How lateness and repetition count.

    ``grace_minutes`` after the due date cost nothing.  Each begun day beyond costs ``per_day``
    percent of the full points; after ``max_days`` nothing is accepted.  ``attempts`` is how many
    count (0: all), the earliest ones; ``keep`` says which of them is the mark.
    """

    grace_minutes: int = 0
    per_day: float = 0.0
    max_days: int | None = None
    attempts: int = 0
    keep: Keep = "best"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One judged attempt; ``points`` None where it was ungradable.

    ``submitted`` None with ``late`` True means late by an unknown time: one day is counted.
    """

    name: str
    points: float | None
    max_points: float
    submitted: datetime | None = None
    late: bool | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """``points`` None: nothing could be judged.  ``attempt`` is the one that counts.

    ``days`` late, ``penalty`` in points, ``why`` in one sentence (empty when there is nothing to
    say).
    """

    points: float | None
    max_points: float
    attempt: str = ""
    days: int = 0
    penalty: float = 0.0
    why: str = ""


def days_late(attempt: Attempt, due: datetime | None, policy: Policy) -> int:
    """Begun days after the due date and the grace; 0 in time."""
    if due is not None and attempt.submitted is not None:
        beyond = attempt.submitted - due - timedelta(minutes=policy.grace_minutes)
        return max(0, math.ceil(beyond / timedelta(days=1)))
    return int(bool(attempt.late))


def penalised(attempt: Attempt, days: int, policy: Policy) -> Mark:
    """The mark of one attempt that is ``days`` late."""
    if attempt.points is None:
        return Mark(None, attempt.max_points, attempt.name, days, why="it could not be judged")
    if policy.max_days is not None and days > policy.max_days:
        why = f"{days} days late, accepted are {policy.max_days}"
        return Mark(0.0, attempt.max_points, attempt.name, days, attempt.points, why)
    penalty = min(attempt.points, days * policy.per_day / 100 * attempt.max_points)
    why = ""
    if days:
        known = (
            "" if attempt.submitted is not None else " (how late is not known, a day is counted)"
        )
        why = f"{days} day{'s' if days > 1 else ''} late{known}: {penalty:g} points off"
    return Mark(attempt.points - penalty, attempt.max_points, attempt.name, days, penalty, why)


def decide(
    attempts: Sequence[Attempt],
    policy: Policy,
    due: datetime | None = None,
    extended: datetime | None = None,
) -> Mark | None:
    """The mark of a student for a lab; None without an attempt.

    ``extended`` replaces ``due``.  An attempt that could not be judged never takes the place of one
    that was, whatever ``keep`` says.
    """
    if not attempts:
        return None
    ordered = sorted(attempts, key=_time)
    counted = ordered[: policy.attempts] if policy.attempts else ordered
    limit = extended if extended is not None else due
    marks = [penalised(each, days_late(each, limit, policy), policy) for each in counted]
    judged = [mark for mark in marks if mark.points is not None]
    if not judged:
        return marks[-1]
    if policy.keep == "average":
        points = math.fsum(mark.points or 0.0 for mark in judged) / len(judged)
        last = judged[-1]
        why = f"average of {len(judged)} attempts" if len(judged) > 1 else last.why
        return Mark(points, last.max_points, last.attempt, last.days, 0.0, why)
    if policy.keep == "best":
        mark = max(judged, key=lambda each: each.points or 0.0)
    else:
        mark = judged[0 if policy.keep == "first" else -1]
    left_out = len(ordered) - len(counted)
    if left_out:
        why = f"{left_out} attempts beyond the {policy.attempts} that count"
        why = f"{mark.why}; {why}" if mark.why else why
        return Mark(mark.points, mark.max_points, mark.attempt, mark.days, mark.penalty, why)
    return mark


def _time(attempt: Attempt) -> float:
    """When it was handed in; those without a time keep their order, first."""
    return attempt.submitted.timestamp() if attempt.submitted else 0.0
