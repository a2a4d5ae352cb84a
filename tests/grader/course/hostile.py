"""Submissions as they come in a bad week: right, wrong, broken and hostile ones."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from grader.lab import LabDefinition
from grader.mutants import load_mutants

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)
"""Nine to the eleventh: 'billion laughs' in YAML."""


def solution(lab: LabDefinition) -> dict[str, bytes]:
    """The files of the kit's own answer."""
    return {name: (lab.solution / name).read_bytes() for name in lab.files}


def solved(lab: LabDefinition) -> list[str]:
    """The texts of the kit's own answer that are not the starter's."""
    texts = [(lab.solution / name).read_text().strip() for name in lab.manifests]
    start = [(lab.start / name).read_text().strip() for name in lab.manifests]
    return [text for text in texts if text not in start]


def mutant(lab: LabDefinition, name: str, scratch: Path) -> dict[str, bytes]:
    """The files of a wrong or right variant."""
    found = next(each for each in load_mutants(lab) if each.name == name)
    folder = found.write(lab, scratch / name)
    return {each: (folder / each).read_bytes() for each in lab.files}


def folder(path: Path, files: Mapping[str, bytes]) -> Path:
    """Files in a folder."""
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Files in a zip."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return held.getvalue()


def zip_link(name: str, target: str) -> bytes:
    """A zip whose one member is a symbolic link."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o120777 << 16
        archive.writestr(info, target)
    return held.getvalue()


def tarred(files: Mapping[str, bytes], *, links: Mapping[str, str] | None = None) -> bytes:
    """Files and links in a .tar.gz."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.SYMTYPE
            info.linkname = target
            archive.addfile(info)
    return held.getvalue()


def tar_bomb(size: int) -> bytes:
    """A .tar.gz of a few kB that unpacks to ``size`` bytes."""
    held = io.BytesIO()
    with gzip.GzipFile(fileobj=held, mode="w", compresslevel=9) as packed:
        info = tarfile.TarInfo("zeros")
        info.size = size
        packed.write(info.tobuf())
        for _ in range(size >> 20):
            packed.write(b"\0" * (1 << 20))
    return held.getvalue()


def hostile(root: Path, lab: LabDefinition) -> list[str]:
    """Write the hostile submissions, one a student; returns the students."""
    right = solution(lab)
    first = lab.files[0]
    root.mkdir(parents=True, exist_ok=True)
    folder(root / "yaml-bomb", {**right, first: BOMB.encode()})
    folder(root / "huge-file", {**right, first: b"# x\n" * (1 << 20)})
    folder(root / "no-files", {"readme.txt": b"I did my best"})
    (root / "empty").mkdir()
    folder(root / "somebody-elses-lab", {"timeouts.yaml": b"", "retries.yaml": b""})
    folder(root / "not-yaml", {**right, first: b"\x00\xff\xfe" * 100})
    folder(root / "; rm -rf ~", {"; rm -rf ~": b"echo gone"})
    folder(root / "control\x1b[2J", {"\x1b]0;owned\x07": b""})
    (root / "traversal.zip").write_bytes(
        zipped({f"../../{name}": data for name, data in right.items()})
    )
    (root / "absolute.tar.gz").write_bytes(tarred({"/etc/cron.d/x": b"* * * * * root true"}))
    (root / "links.tar.gz").write_bytes(tarred({}, links=dict.fromkeys(lab.files, "/etc/passwd")))
    (root / "zip-link.zip").write_bytes(zip_link(first, "/etc/shadow"))
    (root / "zip-bomb.zip").write_bytes(zipped(dict.fromkeys(lab.files, b"\x00" * (8 << 20))))
    (root / "gzip-bomb.tar.gz").write_bytes(tar_bomb(80 << 20))
    (root / "damaged.zip").write_bytes(zipped(right)[:-40])
    (root / "not-a-zip.zip").write_bytes(b"%PDF-1.7 homework")
    (root / "seven.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + b"\0" * 50)
    folder(root / "link-in-folder", {"notes.txt": b""})
    (root / "link-in-folder" / first).symlink_to("/etc/passwd")
    folder(root / "pipe", {"notes.txt": b""})
    os.mkfifo(root / "pipe" / first)
    folder(root / "two-answers", {f"{n}/{k}": v for n in "ab" for k, v in right.items()})
    return sorted(path.name.partition(".")[0] for path in root.iterdir())
