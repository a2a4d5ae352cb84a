"""``grade`` as it is typed, in a process of its own; output and errors come together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from grader.lab import LABS


def start(cwd: Path, *words: str, kit: Path = LABS.parent) -> subprocess.Popen[str]:
    """``grade WORDS`` of a copy of the kit, running."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "grader.cli", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(kit), "COLUMNS": "200"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def grade(cwd: Path, *words: str, kit: Path = LABS.parent) -> subprocess.CompletedProcess[str]:
    """``grade WORDS``, ended."""
    with start(cwd, *words, kit=kit) as process:
        said, _ = process.communicate()
    return subprocess.CompletedProcess(words, process.returncode, said)
