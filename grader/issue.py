"""``grade issue COURSE``: one signed ``student.toml`` for each student of a course.

``COURSE`` is a folder of the staff with ``roster.csv`` (a header line; columns ``id`` or
``student``, and ``name``, others are ignored) and, if wanted, ``course-key.toml`` with ``name``.  Written are

    COURSE/secret.key               made once, mode 0600; never leaves the staff
    COURSE/course-key.toml          name and public key; goes into the students' tree
    COURSE/students/ID/student.toml

Issuing again writes the same files, except that labs which came since get their numbers written
down.  The draw is by HMAC-SHA256 of the student's id under the secret: it cannot be computed, nor
steered, without it.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import json
import os
import re
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from grader.lab import LABS, LabDefinition, LabError, all_labs
from grader.parameters import draw
from grader.student import COURSE_FILE, FILE, message

SECRET = "secret.key"  # noqa: S105  a file's name
ROSTER = "roster.csv"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,79}")


@dataclass(frozen=True, slots=True)
class Issued:
    """What was written: the files of the students, and whether the secret is a new one."""

    files: tuple[Path, ...]
    new_secret: bool


def issue(course: Path, labs: Path = LABS) -> Issued:
    """Write the files of every student in ``course/roster.csv``; LabError in one sentence."""
    students = read_roster(course / ROSTER)
    name = course_name(course)
    secret, new = _secret(course)
    key = Ed25519PrivateKey.from_private_bytes(secret)
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    _write(course / COURSE_FILE, to_toml({"name": name, "key": public}))
    known = [lab for lab in all_labs(labs) if lab.draw]
    written = []
    for student, full_name in students:
        data = student_data(student, full_name, name, public, secret, known)
        data["signature"] = base64.b64encode(key.sign(message(data))).decode()
        path = course / "students" / student / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, to_toml(data))
        written.append(path)
    return Issued(tuple(written), new)


def student_data(
    student: str,
    full_name: str,
    course: str,
    public: str,
    secret: bytes,
    labs: list[LabDefinition],
) -> dict[str, Any]:
    """The unsigned content of one file."""
    seed = hmac.new(secret, b"seed/" + student.encode(), hashlib.sha256).hexdigest()[:32]
    return {
        "course": course,
        "student": student,
        "name": full_name,
        "seed": seed,
        "key": public,
        "labs": {lab.slug: draw(lab.parameters, lab.draw, seed, lab.slug) for lab in labs},
    }


def read_roster(path: Path) -> list[tuple[str, str]]:
    """The students as (id, name); LabError names the line that cannot be used."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as source:
            rows = list(csv.DictReader(source))
    except FileNotFoundError:
        raise LabError(
            f"{path} is not there: write one line a student, under a header line `id,name`."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabError(f"{path} is not a CSV file in UTF-8 ({error}).") from None
    found: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        key = next((name for name in ("id", "student") if name in row), "")
        if not key:
            raise LabError(
                f"{path} has no column `id` (or `student`): its first line must be `id,name`."
            )
        student = (row[key] or "").strip()
        if not student and not any(row.values()):
            continue
        if not _ID.fullmatch(student):
            raise LabError(
                f"{path}:{number}: {student!r} cannot be an id: use letters, digits, . _ @ + and -."
            )
        if student in found:
            raise LabError(f"{path}:{number}: {student!r} is there twice.")
        found[student] = " ".join((row.get("name") or student).split())
    if not found:
        raise LabError(f"{path} has no student: write one line each under `id,name`.")
    return list(found.items())


def course_name(course: Path) -> str:
    """``name`` of ``course-key.toml``, else the folder's name."""
    try:
        raw = tomllib.loads((course / COURSE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return course.resolve().name
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LabError(f"{course / COURSE_FILE} is not TOML ({error}).") from None
    return str(raw.get("name") or course.resolve().name)


def _secret(course: Path) -> tuple[bytes, bool]:
    """The 32 secret bytes; made when the course has none and has issued nothing yet."""
    path = course / SECRET
    try:
        return base64.b64decode(path.read_text(encoding="ascii").strip(), validate=True), False
    except FileNotFoundError:
        pass
    except ValueError:
        raise LabError(f"{path} is damaged: bring it back from a backup.") from None
    if (course / "students").exists():
        raise LabError(
            f"{path} is missing, but files were issued: bring it back from a backup, or remove "
            f"{course / 'students'} to start over with numbers that differ for everybody."
        )
    secret = secrets.token_bytes(32)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as target:
        target.write(base64.b64encode(secret).decode() + "\n")
    return secret, True


def to_toml(data: dict[str, Any]) -> str:
    """Plain data as TOML: scalars and lists first, then the tables of ``labs``."""
    lines = [f"{key} = {_value(value)}" for key, value in data.items() if key != "labs"]
    for lab, values in data.get("labs", {}).items():
        lines += ["", f"[labs.{lab}]", *(f"{key} = {_value(each)}" for key, each in values.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """JSON's texts, numbers, booleans and lists are TOML's; inline tables have ``=``."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(str(key))} = {_value(each)}" for key, each in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(_value(each) for each in value)}]"
    if isinstance(value, (str, int, float)):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    raise LabError(f"a parameter cannot be {value!r}: use texts, numbers, booleans and lists.")


def _write(path: Path, text: str) -> None:
    """Replace a file in one step."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
