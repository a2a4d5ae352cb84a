"""What a process has used, read from Linux's /proc: CPU time and memory.

CPU is the sum of ``/proc/PID/task/*/schedstat`` (nanoseconds on a processor): the ticks of
utime and stime are too coarse for a few hundred requests.  Memory is PSS, the share of the
memory that several processes have in common counted once.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil


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


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Stop a child: asked first, killed when it does not go within ten seconds."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
