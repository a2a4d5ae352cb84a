"""Intake: a download becomes attempts in the store, each with its files or with a reason.

Nothing is started here and nothing is trusted: whoever handed in an archive that cannot be read
gets a verdict and a sentence, and nobody else notices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.course.attempt import PARAMETERS, own_lab, refuse
from grader.course.choose import Chosen, choose, unfold
from grader.course.course import Course
from grader.course.downloads import Handin, read_download
from grader.course.rescore import checks_of
from grader.course.roster import CourseError, Hints, Student
from grader.course.store import Attempt, Store, digest
from grader.course.tree import RefusedError, shown
from grader.lab import ANSWERS, LabDefinition, LabError, lab_folders, read_lab


@dataclass(slots=True)
class Intake:
    """What came in for a lab; ``strangers`` are labels that fit nobody in the roster."""

    platform: str
    attempts: list[Attempt] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    fresh: int = 0


def take_in(
    store: Store, course: Course, lab: LabDefinition, path: Path, *, engine: str, runtime: str
) -> Intake:
    """Read a download into the store; CourseError when it is no download at all."""
    platform, handins = read_download(path)
    if not handins:
        raise CourseError(f"{path} holds no submission.")
    intake = Intake(platform)
    owners = [owners_of(each, course, lab, intake) for each in handins]
    labels = _tell_apart(owners)
    people = [*course.roster.students, *(person for each in labels for person in each)]
    store.enrol(list({each.student: each for each in people}.values()))
    for handin, members in zip(handins, labels, strict=True):
        attempt, new = _attempt(store, course, lab, handin, [each.student for each in members])
        intake.fresh += new
        intake.attempts.append(attempt)
        if attempt.refused and not attempt.done:
            own, checks = own_lab(attempt), checks_of(store, lab)
            refuse(attempt, own, attempt.refused, engine=engine, runtime=runtime, checks=checks)
    return intake


def owners_of(
    handin: Handin, course: Course, lab: LabDefinition, intake: Intake
) -> list[tuple[Student, Hints]]:
    """The students that a submission counts for; with group work all members of the group."""
    found: list[tuple[Student, Hints]] = []
    for hints in handin.who:
        student = course.roster.match(hints)
        if student is None:
            label = shown(hints.label) or "somebody without a name"
            if course.roster.students:
                intake.strangers.append(label)
            student = Student(label, hints.name)
        found.append((student, hints))
        if course.lab(lab.number).group:
            found += [
                (mate, hints)
                for mate in course.roster.group(student.group)
                if mate.student not in {each.student for each, _ in found}
            ]
    return found


def _tell_apart(owners: Sequence[list[tuple[Student, Hints]]]) -> list[list[Student]]:
    """Two people of one name who are not in the roster get their platform's number behind it."""
    numbers: dict[str, set[str]] = {}
    for each in owners:
        for student, hints in each:
            numbers.setdefault(student.student, set()).add(hints.canvas or hints.moodle)

    def label(student: Student, hints: Hints) -> Student:
        number = hints.canvas or hints.moodle
        known = student.student != (shown(hints.label) or "somebody without a name")
        if known or len(numbers[student.student]) < 2:
            return student
        return Student(f"{student.student}-{number}", student.name)

    return [[label(student, hints) for student, hints in each] for each in owners]


def _attempt(
    store: Store, course: Course, lab: LabDefinition, handin: Handin, students: list[str]
) -> tuple[Attempt, bool]:
    chosen, refused = _read(handin, lab)
    submitted = handin.submitted or course.times.get((students[0], lab.number))
    aliases = [store.alias(each) for each in students]
    total = digest(chosen.files) if chosen.files else digest({"": refused.encode()})
    attempt = Attempt(
        folder=store.folder(lab.number, aliases[0], total),
        lab=lab.number,
        members=aliases,
        digest=total,
        submitted=submitted.isoformat() if submitted else "",
        late=handin.late,
        notes=chosen.notes,
        refused=refused,
    )
    new = not attempt.folder.exists()
    drawn = parameters_of(course, lab, students[0])
    if drawn is None:
        return store.add(attempt, chosen.files), new
    return store.add(attempt, chosen.files, {PARAMETERS: drawn}), new


def _read(handin: Handin, lab: LabDefinition) -> tuple[Chosen, str]:
    """The lab's files of a submission, and the reason when it cannot be run."""
    if handin.refused:
        return Chosen(), handin.refused
    try:
        tree = unfold(handin.tree)
        wanted = needed(lab)
        chosen = choose(tree, wanted, [name for name in lab.files if name not in wanted])
    except RefusedError as refusal:
        return Chosen(), str(refusal)
    if not chosen.missing:
        return chosen, ""
    if not tree.entries:
        why = "; ".join(tree.notes) or "nothing was handed in"
        return chosen, why
    if chosen.files:
        return chosen, f"{' and '.join(chosen.missing)} is missing"
    other = other_lab(lab, {entry.name for entry in tree.entries})
    if other:
        return chosen, f"these are the files of lab {other}, not of lab {lab.number}"
    names = ", ".join(shown(entry.path) for entry in tree.entries[:3])
    said = "".join(f"; {note}" for note in tree.notes[:2])
    return chosen, f"none of the lab's files is there, only {names}{said}"


def needed(lab: LabDefinition) -> list[str]:
    """The files without which nothing can be judged; answers may be missing."""
    return [name for name in lab.files if name != ANSWERS]


def parameters_of(course: Course, lab: LabDefinition, student: str) -> dict[str, Any] | None:
    """What the staff issued to a student for this lab; None where nothing was issued.

    The staff's own copy decides, never a file in the submission.
    """
    if course.issued is None:
        return None
    from grader.student import read_student, trusted_key

    path = course.issued / "students" / student / "student.toml"
    if not path.exists():
        raise CourseError(f"{path} is not there: `grade issue {course.issued}` makes it.")
    found = read_student(path, trusted=trusted_key(course.issued)).set_for(lab)
    return {"values": found.values, "seed": found.seed}


def other_lab(lab: LabDefinition, names: set[str]) -> int:
    """The lab whose files these names are; 0 when no other lab's are all there."""
    for folder in lab_folders():
        try:
            other = read_lab(folder)
        except LabError:
            continue
        if other.number != lab.number and set(needed(other)) <= names:
            return other.number
    return 0
