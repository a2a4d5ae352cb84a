"""What every fence has in common: its limits, and the sentence when there is none."""

from __future__ import annotations

from dataclasses import dataclass

USERS = range(1 << 24, 1 << 30)
"""Numbers of users that no machine gives to anybody."""


AUTO, CONTAINER, BUBBLEWRAP = FENCES = ("auto", "container", "bubblewrap")
"""What ``--fence`` may say; see ``grader.fence.choose``."""


class FenceError(Exception):
    """There is no fence here, so no student's code is run; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``seconds`` of CPU a process, bytes of ``memory`` and ``disk``, how many ``processes``.

    The memory is each process' own behind bubblewrap, and that of all together in a container.
    """

    seconds: int = 30
    memory: int = 512 << 20
    processes: int = 64
    disk: int = 64 << 20
