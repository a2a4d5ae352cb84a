"""Problem: one thing wrong with a configuration, with the place, the reason and the remedy.

The CLI, the grader, the console and the notebooks all show this one type.  Codes are Istio's
(``IST0101`` ..., istio/istio ``pkg/config/analysis/msg/messages.yaml``) where Istio has one;
the kit's own start with ``KIT``.
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass


class Level(enum.StrEnum):
    """How bad it is: an ERROR is refused, a WARNING is applied and said, INFO is a remark."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file; line and column count from 1, 0 means "the whole file"."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = self.file or "<input>"
        return f"{place}:{self.line}:{self.column}" if self.line else place


def one_line(text: str) -> str:
    """Show control characters (line feeds, terminal escapes) by their escapes: one line stays one."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding.

    ``path`` is the place in the document (``spec.http[0].route[1].weight``), ``read`` what stood
    there, ``expected`` what would have been right, ``nearest`` the closest valid word, ``hint``
    one sentence that says what to do, ``resource`` what it belongs to
    (``VirtualService tutorial/recommendation``), ``fix`` what ``meshctl fix`` would do.
    """

    code: str
    level: Level
    message: str
    position: Position = Position()
    path: str = ""
    read: str = ""
    expected: str = ""
    nearest: str = ""
    hint: str = ""
    resource: str = ""
    fix: str = ""

    def __post_init__(self) -> None:
        """Keep every text that repeats a word of the user's on one line, whatever that word is."""
        for name in ("message", "path", "read", "expected", "hint", "resource"):
            object.__setattr__(self, name, one_line(getattr(self, name)))

    def __str__(self) -> str:
        owner = f" ({self.resource})" if self.resource else ""
        text = f"{self.position}: {self.level.value} [{self.code}]{owner} {self.message}"
        return f"{text}\n    {self.hint}" if self.hint else text

    def as_dict(self) -> dict[str, object]:
        """The JSON form: ``code, level, message, file, line, column, path, ... hint, fix``."""
        data = asdict(self)
        place = data.pop("position")
        return {
            "code": data.pop("code"),
            "level": str(data.pop("level")),
            "message": data.pop("message"),
            **place,
            **data,
        }


MAX_IN_FILE = 300
"""How many problems of one file are told; nobody reads more, and hostile files have millions."""
LIMIT = "KIT0002"


@dataclass(slots=True)
class Room:
    """How many problems of a file can still be told; the others are counted only."""

    left: int = MAX_IN_FILE
    hidden: int = 0

    def take(self, wanted: int) -> int:
        """Return how many of so many problems are told."""
        told = min(self.left, wanted)
        self.left -= told
        self.hidden += wanted - told
        return told

    def keep(self, problems: list[Problem]) -> list[Problem]:
        """Return those of some problems that are told."""
        return problems[: self.take(len(problems))]

    def rest(self, position: Position, level: Level = Level.ERROR) -> list[Problem]:
        """Return the problem that stands for those that are not told, when there are any."""
        if not self.hidden:
            return []
        text = f"and {self.hidden} more problems in this file, which are not shown"
        hint = "Repair these first; often one mistake is the cause of many."
        return [Problem(LIMIT, level, text, position, hint=hint)]


def has_errors(problems: list[Problem]) -> bool:
    """True when something must be refused."""
    return any(problem.level is Level.ERROR for problem in problems)
