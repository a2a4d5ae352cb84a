"""Both fences, for tests that hold for each: the one in containers waits for its image to be built."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from grader.fence.bubblewrap import Bubblewrap
from grader.fence.choose import BUBBLEWRAP, CONTAINER, Fence
from grader.fence.container import ContainerFence
from grader.fence.limits import FenceError, Limits

LIMITS = Limits(seconds=5, memory=256 << 20, processes=32, disk=4 << 20)

both = pytest.mark.parametrize(
    "kind", [BUBBLEWRAP, pytest.param(CONTAINER, marks=pytest.mark.compose)]
)
"""A test with the argument ``kind`` runs behind bubblewrap, and with Docker (make test-compose)."""


def fence(kind: str) -> Fence:
    """That fence; skips where bubblewrap cannot be had, builds the image of the container."""
    if kind == CONTAINER:
        return ContainerFence(build=True)
    try:
        return Bubblewrap()
    except FenceError as error:
        pytest.skip(str(error))


def run(kind: str, tmp_path: Path, code: str, limits: Limits = LIMITS) -> tuple[int, str]:
    """Exit code (negative: a signal) and output; the test's own limit is for a fence that leaks."""
    hand_in = tmp_path / "hand-in"
    hand_in.mkdir(exist_ok=True)
    (hand_in / "main.py").write_text(code)
    made = fence(kind)
    with subprocess.Popen(
        made.command([*made.python, "main.py"], hand_in, limits),
        stdin=subprocess.PIPE,  # the lifeline: it stays until the code has ended
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        code_of = process.wait()
    # Its init says that a child was killed as shells do.
    return code_of if code_of < 128 else 128 - code_of, output
