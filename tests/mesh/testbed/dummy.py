"""A child for the tests: says ready, tells what it is like, waits for its lifeline."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    text: str = ""
    report: str = ""
    fail: str = ""
    grandchild: bool = False
    deaf: bool = False
    ready_fd: int = -1
    lifeline_fd: int = -1


def run(options: Options) -> None:
    if options.fail:
        raise ValueError(options.fail)
    grandchild = 0
    if options.grandchild:
        grandchild = os.fork()
        if grandchild == 0:
            os.close(options.ready_fd)
            signal.pause()
    if options.report:
        fds = sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())
        facts = {
            "pid": os.getpid(),
            "pgid": os.getpgid(0),
            "draw": random.random(),
            "fds": [fd for fd in fds if Path(f"/proc/self/fd/{fd}").exists()],
            "expected": [0, 1, 2, options.ready_fd, options.lifeline_fd],
            "no_proxy": os.environ.get("NO_PROXY"),
            "grandchild": grandchild,
            "forked": "mesh.testbed.zygote" in " ".join(sys.orig_argv),
        }
        Path(options.report).write_text(json.dumps(facts))
    os.write(options.ready_fd, b"R")
    os.close(options.ready_fd)
    if options.deaf:
        signal.pause()
    os.read(options.lifeline_fd, 1)
    os._exit(0)
