"""The folder of a course's results: what was handed in, what was measured, who is who.

    OUT/names.csv                          pseudonym, student, name, email: the only file with names
                                           beside the tables that are made for the gradebook
    OUT/lab-01/k7q2mz9d/3f2a91c07b11/      one attempt: pseudonym, digest of the files handed in
        handin.json                        members, when, what intake noted
        files/                             the files that the lab lists, nothing else
        run/                               evidence and result.json; there or not there, never half
        discarded-1/                       a verdict that was thrown away, and why (host.json)

An attempt is done when it has ``run``, which is moved into place in one step: that is the whole
queue.  A grader that is killed at any moment loses at most the meshes that were running.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from grader.course.roster import CourseError, Student, read_table
from mesh.state import write_atomic

NAMES = "names.csv"
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


def pseudonym() -> str:
    """A random name of 8 letters that says nothing about anybody."""
    return "".join(secrets.choice(_LETTERS) for _ in range(8))


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return total.hexdigest()


@dataclass(slots=True)
class Attempt:
    """One attempt on disk; ``members`` are pseudonyms, the first is the folder's.

    ``refused`` is intake's reason why there is nothing to run; ``submitted`` is ISO 8601 or ``""``,
    ``order`` counts the attempts of this pseudonym in the order of intake.
    """

    folder: Path
    lab: int
    members: list[str]
    digest: str
    submitted: str = ""
    late: bool | None = None
    notes: list[str] = field(default_factory=list)
    refused: str = ""
    order: int = 0

    @property
    def name(self) -> str:
        """``lab-01/k7q2mz9d/3f2a91c07b11``."""
        return "/".join(self.folder.parts[-3:])

    @property
    def run(self) -> Path:
        """Where evidence and result are, once it is done."""
        return self.folder / "run"

    @property
    def done(self) -> bool:
        """True when it has a verdict."""
        return (self.run / "result.json").is_file()

    @property
    def discarded(self) -> list[Path]:
        """The verdicts that were thrown away."""
        return sorted(self.folder.glob("discarded-*"))

    @property
    def when(self) -> datetime | None:
        """When it was handed in, where that is known."""
        return datetime.fromisoformat(self.submitted) if self.submitted else None

    def result(self) -> dict[str, Any]:
        """The content of ``result.json``."""
        data: dict[str, Any] = json.loads((self.run / "result.json").read_text(encoding="utf-8"))
        return data

    def discard(self, why: str) -> None:
        """Throw the verdict away; it is kept aside."""
        target = self.folder / f"discarded-{len(self.discarded) + 1}"
        self.run.rename(target)
        write_atomic(target / "why.txt", why + "\n")


class Store:
    """One OUT folder, opened by one grader at a time for writing (``lock``)."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.students: dict[str, Student] = {}
        """Pseudonym -> student."""
        if (out / NAMES).exists():
            for _, row in read_table(out / NAMES, required=("pseudonym", "student")):
                person = Student(row["student"], row.get("name", ""), row.get("email", ""))
                self.students[row["pseudonym"]] = person

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder; CourseError when another grader does."""
        self.out.mkdir(parents=True, exist_ok=True)
        with (self.out / ".lock").open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CourseError(
                    f"Another grader is working on {self.out}; wait for it, or give another OUT."
                ) from None
            yield

    def alias(self, student: str) -> str:
        """The pseudonym of a student, ``""`` for somebody unknown."""
        return next((key for key, each in self.students.items() if each.student == student), "")

    def enrol(self, students: list[Student]) -> None:
        """Give each student a pseudonym that has none yet, and write ``names.csv``."""
        known = {each.student: key for key, each in self.students.items()}
        for each in students:
            key = known.get(each.student)
            if key is None:
                key = pseudonym()
                while key in self.students:
                    key = pseudonym()
                known[each.student] = key
            self.students[key] = each
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["pseudonym", "student", "name", "email"])
        for key, each in self.students.items():
            table.writerow([key, each.student, each.name, each.email])
        self.out.mkdir(parents=True, exist_ok=True)
        write_atomic(self.out / NAMES, text.getvalue())
        (self.out / NAMES).chmod(0o600)

    def add(
        self,
        attempt: Attempt,
        files: Mapping[str, bytes],
        beside: Mapping[str, object] | None = None,
    ) -> Attempt:
        """Write an attempt, if it is not there yet; returns the one that is there.

        ``beside`` are JSON files that lie beside ``files``.

        The same files handed in again are the same attempt: its earliest time counts.
        """
        folder = attempt.folder
        if (folder / "handin.json").exists():
            known = read_attempt(folder)
            times = [each for each in (known.submitted, attempt.submitted) if each]
            known.submitted = min(times, key=datetime.fromisoformat, default="")
            known.members += [each for each in attempt.members if each not in known.members]
            _write_handin(known)
            return known
        if folder.parent.exists():
            attempt.order = sum(1 for path in folder.parent.iterdir() if path.name[0] != ".")
        part = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(part, ignore_errors=True)
        (part / "files").mkdir(parents=True)
        for name, data in files.items():
            (part / "files" / name).write_bytes(data)
        for name, content in (beside or {}).items():
            (part / name).write_text(json.dumps(content) + "\n", encoding="utf-8")
        moved = Attempt(**{**_fields(attempt), "folder": part})
        _write_handin(moved)
        part.rename(folder)
        return attempt

    def folder(self, lab: int, alias: str, digest: str) -> Path:
        """Where an attempt lies."""
        return self.out / f"lab-{lab:02d}" / alias / (digest[:12] or "nothing")

    def labs(self) -> list[int]:
        """The labs that something was handed in for."""
        return sorted(int(path.name[4:]) for path in self.out.glob("lab-[0-9][0-9]"))

    def attempts(self, lab: int | None = None) -> list[Attempt]:
        """All attempts, in a fixed order."""
        pattern = "lab-[0-9][0-9]" if lab is None else f"lab-{lab:02d}"
        found = sorted(self.out.glob(f"{pattern}/*/*/handin.json"))
        read = [read_attempt(path.parent) for path in found if path.parent.name[0] != "."]
        return sorted(read, key=lambda each: (each.lab, each.order))


def _fields(attempt: Attempt) -> dict[str, Any]:
    return asdict(attempt)


def _write_handin(attempt: Attempt) -> None:
    data = _fields(attempt)
    del data["folder"]
    text = json.dumps(data, indent=2, ensure_ascii=False)
    write_atomic(attempt.folder / "handin.json", text + "\n")


def read_attempt(folder: Path) -> Attempt:
    """The attempt in this folder."""
    raw = json.loads((folder / "handin.json").read_text(encoding="utf-8"))
    return Attempt(folder=folder, **raw)
