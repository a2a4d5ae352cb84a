"""How many submissions an hour, and how that grows with the meshes at once."""

from __future__ import annotations

import time
from pathlib import Path

from grader.course.batch import Batch
from grader.course.course import Course
from grader.course.intake import take_in
from grader.course.store import Store
from grader.lab import find_lab


def submissions(folder: Path, jobs: int, count: int, lab_number: int = 1) -> dict[str, float]:
    """Grade ``count`` copies of a lab's solution with at most ``jobs`` meshes at once."""
    lab = find_lab(lab_number)
    handed_in = folder / "in"
    for number in range(count):
        place = handed_in / f"student-{number}"
        place.mkdir(parents=True)
        for name in lab.files:
            if (lab.solution / name).is_file():
                (place / name).write_bytes((lab.solution / name).read_bytes())
    store = Store(folder / "out")
    take_in(store, Course(), lab, handed_in, engine="mitmproxy", runtime="local")
    work = Batch("mitmproxy", "local", jobs, lambda _: None)
    begin = time.monotonic()
    work.run(store.attempts(lab.number))
    seconds = time.monotonic() - begin
    return {
        "submissions": float(count),
        "an hour": count / seconds * 3600,
        "seconds each": seconds / count,
        "at once": float(work.peak),
    }
