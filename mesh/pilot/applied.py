"""Applied: what the control plane answers to who changes the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh.istio import Problem
from mesh.pilot.status import Nack


@dataclass(frozen=True, slots=True)
class Applied:
    """What ``apply`` and ``delete`` answer; ``seconds`` until in force."""

    problems: tuple[Problem, ...] = ()
    applied: tuple[str, ...] = ()
    in_force: bool = False
    seconds: float = 0.0
    nacks: tuple[Nack, ...] = ()
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "problems": [each.as_dict() for each in self.problems],
            "applied": list(self.applied),
            "in_force": self.in_force,
            "seconds": self.seconds,
            "nacks": [each.as_dict() for each in self.nacks],
            "reason": self.reason,
        }
