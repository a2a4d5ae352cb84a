"""``make submit-N``: packs what is handed in and gives a receipt.

Packed are exactly the files that ``lab.yaml`` lists, in its order, into
``submissions/lab-NN-STUDENT.zip``.  The archive depends on the files alone (no times, no owners),
so the same files give the same receipt, and a receipt proves what was handed in.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from grader.lab import LabDefinition, LabError
from grader.workspace import Workspace, missing

FOLDER = "submissions"
MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive: its file, (name, bytes) of its members, and the SHA-256 of the whole."""

    archive: Path
    members: tuple[tuple[str, int], ...]
    sha256: str

    @property
    def receipt(self) -> str:
        """The short form for people: sixteen hexadecimal digits in groups of four."""
        return "-".join(self.sha256[at : at + 4] for at in range(0, 16, 4))


def pack(lab: LabDefinition, space: Workspace, into: Path) -> Packed:
    """Write the archive; LabError names a file that is missing or too large."""
    absent = missing(lab, space)
    if absent:
        raise LabError("\n".join(absent))
    contents = []
    for path in space.files(lab):
        content = path.read_bytes() if path.is_file() else b""
        if len(content) > MAX_BYTES:
            raise LabError(f"{path.name} is larger than {MAX_BYTES} bytes: is it the right file?")
        contents.append((path.name, content))
    into.mkdir(parents=True, exist_ok=True)
    archive = into / f"{lab.slug}-{lab.set.student or 'self-study'}.zip"
    fresh = archive.with_name(f".{archive.name}.new")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in contents:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(info, content)
    fresh.replace(archive)
    total = hashlib.sha256(archive.read_bytes()).hexdigest()
    members = tuple((name, len(content)) for name, content in contents)
    return Packed(archive, members, total)
