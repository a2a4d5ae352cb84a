"""Children of a benchmark end with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from mesh.bench import process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's prctl")

PARENT = """
import sys
from mesh.bench.process import start
print(start([sys.executable, "-c", "import signal; signal.pause()"]).pid, flush=True)
import signal; signal.pause()
"""


def test_a_child_ends_when_the_benchmark_is_killed() -> None:
    words = [sys.executable, "-c", PARENT]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    assert select.select([child], [], [], 60)[0]
    os.close(child)


def test_the_output_of_a_child_and_its_failure() -> None:
    assert process.output([sys.executable, "-c", "print('done')"]) == "done\n"
    with pytest.raises(subprocess.CalledProcessError):
        process.output([sys.executable, "-c", "raise SystemExit(3)"])
