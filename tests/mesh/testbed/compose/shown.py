"""A process for the tests of ``entry``."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Shown:
    """What it is told."""

    word: str
    ready_fd: int = -1


def show(options: Shown) -> None:
    """Say that it works, and its word."""
    os.write(options.ready_fd, b"1")
    print(options.word)
