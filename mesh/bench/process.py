"""Children of a benchmark, and what a process has used, read from Linux's /proc: CPU and memory.

Children end with the benchmark, however it ends (``kill -9`` too).

CPU is the sum of ``/proc/PID/task/*/schedstat`` (nanoseconds on a processor): the ticks of
utime and stime are too coarse for a few hundred requests.  Memory is PSS, the share of the
memory that several processes have in common counted once.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from mesh.testbed.child import die_with_parent


def cpu_seconds(pid: int) -> float:
    """CPU seconds that all threads of ``pid`` and of its children have used so far."""
    total = 0
    for process in family(pid):
        for task in Path(f"/proc/{process}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except (OSError, ValueError):  # a thread that ended meanwhile
                continue
    return total / 1e9


def pss_bytes(pid: int) -> int:
    """Proportional set size in bytes of ``pid`` and its children."""
    total = 0
    for process in family(pid):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def family(pid: int) -> list[int]:
    """``pid`` and everything that descends from it."""
    try:
        root = psutil.Process(pid)
        return [pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def start(words: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start a child without a proxy in its environment; the kernel kills it when this process is gone."""
    return subprocess.Popen(
        words,
        text=True,
        stdin=subprocess.DEVNULL,
        env=_environment(),
        preexec_fn=partial(die_with_parent, os.getpid()),
        **options,
    )


def output(words: Sequence[str], **options: Any) -> str:
    """Run a child to its end and return what it printed; CalledProcessError when it failed."""
    child = start(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    try:
        out, err = child.communicate()
    except BaseException:
        child.kill()
        raise
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, words, out, err)
    return out


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Stop a child: asked first, killed when it does not go within ten seconds."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
