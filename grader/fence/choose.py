"""Which fence: a container where Docker is there and its image built, else bubblewrap, else none.

    fence = choose("auto")         # FenceError where there is none: nothing is run
    fence.name                     # what the result says: "bubblewrap", "container mesh-lab-kit:..."

``container`` and ``bubblewrap`` are that one or nothing; ``container`` builds the image that
``auto`` only takes when it is there, for a build needs a network and a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from grader.fence.bubblewrap import Bubblewrap
from grader.fence.container import ContainerFence
from grader.fence.limits import AUTO, BUBBLEWRAP, CONTAINER, FenceError, Limits


class Fence(Protocol):
    """Makes commands that run inside; ``python`` is how Python is called there.

    ``broken`` is the exit code by which the fence says that it ran nothing, if it has one.
    """

    name: str
    python: tuple[str, ...]

    @property
    def broken(self) -> int | None:
        """See above."""

    def command(self, argv: Sequence[str], folder: Path, limits: Limits) -> list[str]:
        """The whole command line around ``argv``."""


def choose(wanted: str = AUTO) -> Fence:
    """The fence of that name; FenceError, in one sentence, where it cannot be had."""
    if wanted == CONTAINER:
        return ContainerFence(build=True)
    if wanted == BUBBLEWRAP:
        return Bubblewrap()
    try:
        return ContainerFence()
    except FenceError:
        return Bubblewrap()
