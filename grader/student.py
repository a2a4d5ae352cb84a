"""``student.toml``: who a student is and which numbers are theirs, signed by the course.

The course signs with Ed25519 (RFC 8032).  The secret half stays with staff; the public half is in
``course-key.toml`` at the top of the students' tree, so every copy of the kit can check a file and
none can make one.  Signed is the canonical JSON (keys sorted, no spaces, UTF-8) of everything but
``signature``.

    course = "ECE 4150"
    student = "ann1"
    name = "Ann Lee"
    seed = "..."                # draws the parameters of labs that were not there when it was issued
    key = "..."                 # the course's public key, base64
    signature = "..."

    [labs.lab-01]               # the values that override lab.yaml's self-study set
    share = 15
"""

from __future__ import annotations

import base64
import binascii
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from grader.lab import LabDefinition, LabError
from grader.parameters import ParameterSet, draw

FILE = "student.toml"
COURSE_FILE = "course-key.toml"
MAX_BYTES = 100_000

_TEXTS = ("course", "student", "name", "seed", "key", "signature")


@dataclass(frozen=True, slots=True)
class Student:
    """A verified file; ``known_key`` tells that its key is the one this copy of the kit trusts."""

    student: str
    name: str
    course: str
    seed: str
    known_key: bool
    labs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def set_for(self, lab: LabDefinition) -> ParameterSet:
        """The student's own parameters of ``lab``; LabError when the file does not fit the lab."""
        values = self.labs.get(lab.slug)
        if values is None:
            values = draw(lab.parameters, lab.draw, self.seed, lab.slug)
        elif set(values) != set(lab.parameters):
            odd = sorted(set(values) ^ set(lab.parameters))[0]
            raise LabError(
                f"{FILE} and lab {lab.number} disagree about the parameter {odd!r}: they are of "
                "different releases of the kit; ask the staff for the files that go together."
            )
        trust = "" if self.known_key else f"; no {COURSE_FILE} here vouches for the signature"
        owner = f"the parameters of {self.name} ({self.student}, {self.course}{trust})"
        return ParameterSet(values, self.student, owner, self.seed)


def message(data: dict[str, Any]) -> bytes:
    """The bytes that are signed; a file without labs has no `labs`."""
    kept = {key: value for key, value in data.items() if key != "signature" and value != {}}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read_student(path: Path, *, trusted: str = "") -> Student:
    """Read and verify a file; LabError in one sentence when it is not what was issued.

    ``trusted`` is the course's public key in base64; without it the file vouches for itself.
    """
    data = _read(path)
    missing = [key for key in _TEXTS if not isinstance(data.get(key), str) or not data[key]]
    if missing:
        raise LabError(f"{path} lacks {missing[0]!r}: it is not the file that the staff issued.")
    labs = data.get("labs", {})
    if not isinstance(labs, dict) or not all(isinstance(each, dict) for each in labs.values()):
        raise LabError(f"{path}: 'labs' must be tables, as in the file that the staff issued.")
    if trusted and data["key"] != trusted:
        raise LabError(
            f"{path} was signed with another key than the one in {COURSE_FILE}: it belongs to "
            "another course, or somebody else made it."
        )
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(data["key"], validate=True))
        key.verify(base64.b64decode(data["signature"], validate=True), message(data))
    except (InvalidSignature, binascii.Error, ValueError):
        raise LabError(
            f"{path} is not as it was issued: the signature does not fit. Get it from the staff "
            "again, or move it away to work with the self-study set."
        ) from None
    return Student(
        student=data["student"],
        name=data["name"],
        course=data["course"],
        seed=data["seed"],
        known_key=bool(trusted),
        labs=labs,
    )


def trusted_key(folder: Path) -> str:
    """The public key in ``folder/course-key.toml``, ``""`` without such a file."""
    path = folder / COURSE_FILE
    if not path.exists():
        return ""
    key = _read(path).get("key")
    if not isinstance(key, str) or not key:
        raise LabError(f"{path} lacks 'key', the course's public key: get it from the staff again.")
    return key


def parameters_for(lab: LabDefinition, file: Path | None = None) -> ParameterSet:
    """Whose parameters a run uses: those of ``file``, of ``./student.toml``, or the self-study set.

    LabError when the file named is not there or was not issued by the course.
    """
    path = file if file is not None else Path.cwd() / FILE
    if file is None and not path.exists():
        return ParameterSet(dict(lab.parameters))
    shown = path if file is not None else Path(FILE)
    return read_student(shown, trusted=trusted_key(Path.cwd())).set_for(lab)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LabError(f"{path} is larger than {MAX_BYTES} bytes: it is not what was issued.")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabError(f"{path} is not there.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LabError(f"{path} is not TOML ({error}): get it from the staff again.") from None
