"""A ``talk`` step on a running mesh: one connection, and everything that is logged meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.accesslog import AccessLogRecord
from mesh.conformance.case import Step, Wait, WaitAct
from mesh.conformance.wire import Talk, port_of
from mesh.testbed.base import Testbed
from mesh.testbed.client import TestbedError

SECONDS = 20.0
"""How long the lines of a connection that has ended may take to appear."""


@dataclass(frozen=True, slots=True)
class Talked:
    """What came of a connection: what was taken, and what was logged."""

    took: list[str]
    records: list[AccessLogRecord]
    journal: list[dict[str, Any]]


def talk(
    bed: Testbed, caller: str, step: Step, request_id: str, wait: Callable[[Wait], None]
) -> Talked:
    """Do what ``step.talk`` says; TestbedError when the connection or its log lines do not come."""
    lines, handled = Counter(each.pod for each in bed.access_log()), len(bed.journal())
    try:
        connection = Talk(port_of(bed, caller, step.place), request_id)
        try:
            for act in step.talk:
                if isinstance(act, WaitAct):
                    wait(act.wait)
                else:
                    connection.act(act)
        finally:
            connection.close()
    except OSError as error:
        raise TestbedError(f"talk with {step.place}: {error}") from None
    deadline = time.monotonic() + SECONDS
    while len(records := newer(bed.access_log(), lines)) < step.lines:
        if time.monotonic() > deadline:
            said = ", ".join(f"{each.pod} {each.direction}" for each in records)
            raise TestbedError(f"{len(records)} log lines ({said}), not {step.lines}")
    return Talked(connection.took, records, list(bed.journal())[handled:])


def newer(log: Sequence[AccessLogRecord], before: Counter[str]) -> list[AccessLogRecord]:
    """Return what was written behind the first lines of each pod."""
    passed: Counter[str] = Counter()
    found = []
    for record in log:
        passed[record.pod] += 1
        if passed[record.pod] > before[record.pod]:
            found.append(record)
    return found
