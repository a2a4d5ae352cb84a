"""What a batch leaves: its tables, and processes if it must not."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from tests.processes import commands


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as source:
        return {row["student"]: row for row in csv.DictReader(source)}


def judges(out: Path) -> list[int]:
    """The processes that judge for this OUT."""
    return [
        pid
        for pid, words in commands()
        if b"grader.course.attempt" in words and any(os.fsencode(out) in word for word in words)
    ]
