"""A batch from the command line, and what is left of it."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[3]


def command(cwd: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "200"}
    return subprocess.Popen(
        [sys.executable, "-m", "grader.cli", *words],
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as source:
        return {row["student"]: row for row in csv.DictReader(source)}


def judges(out: Path) -> list[int]:
    """The processes that judge for this OUT."""
    found = []
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            words = (proc / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"grader.course.attempt" in words and any(os.fsencode(out) in w for w in words):
            found.append(int(proc.name))
    return found
