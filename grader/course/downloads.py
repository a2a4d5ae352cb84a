"""Bulk downloads of learning platforms, as they come.

======== ====================================================================================
Canvas   ``lovelaceada_LATE_1234_98765_virtual-service.yaml``: name, LATE, user and submission id
Moodle   ``Ada Lovelace_4711_assignsubmission_file_/...`` or ``..._file_handin.zip``; a group's
         name and ``-`` may stand in front
Gradescope ``assignment_1_export/submission_7/...`` and ``submission_metadata.yml`` with names,
         ids, addresses, times and all members of a group
plain    one folder or archive a student, named by the student's id
======== ====================================================================================

Who handed in is what the platform's names say, never what a file inside says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import yaml

from grader.course.archive import open_tree
from grader.course.choose import ARCHIVES, is_junk
from grader.course.roster import CourseError, Hints
from grader.course.tree import BULK, Entry, RefusedError, Tree

METADATA = "submission_metadata.yml"

_CANVAS = re.compile(r"(?P<name>[^_/]*)_(?P<late>LATE_)?(?P<user>\d+)_(?P<id>\d+)_(?P<file>[^/]+)")
_CANVAS_ANONYMOUS = re.compile(
    r"(?P<name>anon_[A-Za-z0-9]+)_(?P<late>LATE_)?(?P<id>\d+)_(?P<file>[^/]+)"
)
_MOODLE = re.compile(
    r"(?P<name>[^/]+?)_(?P<id>\d+)_assignsubmission_(?P<plugin>file|onlinetext)_?/?(?P<file>.*)"
)
_SUBMISSION = re.compile(r"submission_\w+")


@dataclass(slots=True)
class Handin:
    """One submission of a download: whose it may be, and its files.

    ``who`` has one entry a member; ``late`` is None where the platform does not say, ``submitted``
    where it gives no time.  ``refused`` is why nothing of it can be read.
    """

    who: tuple[Hints, ...]
    tree: Tree = field(default_factory=Tree)
    late: bool | None = None
    submitted: datetime | None = None
    refused: str = ""


def read_download(path: Path) -> tuple[str, list[Handin]]:
    """The platform (canvas, moodle, gradescope, plain) and its submissions, in order of names.

    CourseError when ``path`` is neither a folder nor a zip, or holds nothing.
    """
    if path.is_file() and not path.name.lower().endswith(".zip"):
        raise CourseError(f"{path} is neither a folder nor a zip of submissions.")
    if not path.exists():
        raise CourseError(f"{path} is not there; SUBMISSIONS=folder names the downloads.")
    packed = path.is_file()
    try:
        tree = open_tree(path, BULK)
    except RefusedError as refusal:
        raise CourseError(f"{path}: {refusal}.") from None
    entries = [entry for entry in tree.entries if not is_junk(entry.path)]
    platform = recognise(entries)
    if platform == "gradescope":
        found = list(_gradescope(path, entries))
    elif platform == "canvas":
        found = list(_canvas(entries))
    elif platform == "moodle":
        found = list(_moodle(entries))
    else:
        found = list(_packed_plain(entries) if packed else _plain(path))
    return platform, found


def recognise(entries: list[Entry]) -> str:
    """Which platform's download this is, from the names alone."""
    if any(e.name == METADATA and e.path.count("/") <= 1 for e in entries):
        return "gradescope"
    wrapper = _wrapper(entries)
    tops = [entry.path.removeprefix(wrapper) for entry in entries]
    if any(_MOODLE.fullmatch(each) for each in tops):
        return "moodle"
    flat = [each for each in tops if "/" not in each]
    if flat and sum(bool(_canvas_match(each)) for each in flat) * 2 > len(flat):
        return "canvas"
    return "plain"


def _canvas_match(name: str) -> re.Match[str] | None:
    return _CANVAS_ANONYMOUS.fullmatch(name) or _CANVAS.fullmatch(name)


def _wrapper(entries: list[Entry]) -> str:
    """The one folder that everything lies in, ``submissions/``; ``""`` when there is none."""
    first = {entry.path.partition("/")[0] for entry in entries}
    if len(first) != 1 or any("/" not in entry.path for entry in entries):
        return ""
    name = f"{first.pop()}/"
    return "" if _MOODLE.match(name) else name


def _canvas(entries: list[Entry]) -> Iterator[Handin]:
    held: dict[tuple[str, str], Handin] = {}
    wrapper = _wrapper(entries)
    for entry in entries:
        match = _canvas_match(entry.path.removeprefix(wrapper))
        if match is None:
            continue
        user = match.groupdict().get("user") or ""
        key = (match["name"], user or match["id"])
        if key not in held:
            held[key] = Handin((Hints(name=match["name"], canvas=user),), late=False)
        held[key].late = held[key].late or bool(match["late"])
        held[key].tree.entries.append(Entry(match["file"], entry.size, entry.read))
    yield from (held[key] for key in sorted(held))


def _moodle(entries: list[Entry]) -> Iterator[Handin]:
    held: dict[tuple[str, str], Handin] = {}
    wrapper = _wrapper(entries)
    for entry in entries:
        match = _MOODLE.fullmatch(entry.path.removeprefix(wrapper))
        if match is None:
            continue
        key = (match["name"], match["id"])
        handin = held.setdefault(key, Handin((Hints(name=match["name"], moodle=match["id"]),)))
        if match["plugin"] == "file" and match["file"]:
            handin.tree.entries.append(Entry(match["file"], entry.size, entry.read))
    yield from (held[key] for key in sorted(held))


def _gradescope(path: Path, entries: list[Entry]) -> Iterator[Handin]:
    metadata = next(e for e in entries if e.name == METADATA and e.path.count("/") <= 1)
    base = metadata.path.removesuffix(METADATA)
    raw = read_metadata(metadata.read(BULK.file), f"{path}/{metadata.path}")
    held: dict[str, Tree] = {}
    for entry in entries:
        folder, _, rest = entry.path.removeprefix(base).partition("/")
        if rest and _SUBMISSION.fullmatch(folder):
            held.setdefault(folder, Tree()).entries.append(Entry(rest, entry.size, entry.read))
    for folder in sorted({*raw, *held}):
        data = raw.get(folder, {})
        members = data.get("submitters")
        people = tuple(_submitter(each) for each in members) if isinstance(members, list) else ()
        yield Handin(
            people or (Hints(name=folder),),
            held.get(folder, Tree()),
            submitted=_time(data.get("created_at")),
        )


def _submitter(raw: dict[str, object]) -> Hints:
    keys = tuple(str(raw[name]) for name in ("sid", "email") if raw.get(name))
    return Hints(name=str(raw.get("name") or ""), keys=keys)


class _Metadata(yaml.SafeLoader):
    """YAML as Ruby writes it: keys are symbols (``:name``), times may be objects of Rails."""


def _ruby(loader: _Metadata, suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.ScalarNode)
    return loader.construct_scalar(node)


_Metadata.add_multi_constructor("!", _ruby)


def read_metadata(data: bytes, where: str) -> dict[str, dict[str, object]]:
    """Read ``submission_metadata.yml``: folder -> submitters, created_at; CourseError if damaged."""
    try:
        raw = yaml.load(data, Loader=_Metadata)  # noqa: S506  a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        text = str(error).splitlines()[0]
        raise CourseError(f"{where} is not the YAML that Gradescope writes: {text}.") from None
    if not isinstance(raw, dict):
        raise CourseError(f"{where} names no submission; download the export again.")
    return {str(name): _symbols(value) for name, value in raw.items() if isinstance(value, dict)}


def _symbols(raw: object) -> dict[str, object]:
    """Strip the colons of Ruby's symbols from the keys, two levels deep."""
    assert isinstance(raw, dict)
    plain = {str(key).removeprefix(":"): value for key, value in raw.items()}
    people = plain.get("submitters")
    if isinstance(people, list):
        plain["submitters"] = [
            {str(key).removeprefix(":"): value for key, value in each.items()}
            for each in people
            if isinstance(each, dict)
        ]
    return plain


def _time(raw: object) -> datetime | None:
    """A time with its zone; Rails' objects hold it under ``utc``."""
    if isinstance(raw, dict):
        return _time(raw.get("utc") or raw.get("time"))
    if isinstance(raw, str):
        try:
            raw = datetime.fromisoformat(raw.replace(" UTC", "+00:00"))
        except ValueError:
            return None
    if not isinstance(raw, datetime):
        return None
    return raw if raw.tzinfo else raw.astimezone()


def _plain(root: Path) -> Iterator[Handin]:
    for path in sorted(root.iterdir()):
        if is_junk(path.name):
            continue
        handin = Handin((Hints(name=_stem(path.name), keys=(_stem(path.name),)),))
        try:
            handin.tree = open_tree(path)
        except RefusedError as refusal:
            handin.refused = str(refusal)
        yield handin


def _packed_plain(entries: list[Entry]) -> Iterator[Handin]:
    held: dict[str, Handin] = {}
    wrapper = _wrapper(entries)
    for entry in entries:
        first, _, rest = entry.path.removeprefix(wrapper).partition("/")
        name = first if rest else _stem(first)
        handin = held.setdefault(name, Handin((Hints(name=name, keys=(name,)),)))
        handin.tree.entries.append(Entry(rest or first, entry.size, entry.read))
    yield from (held[name] for name in sorted(held))


def _stem(name: str) -> str:
    lower = name.lower()
    for ending in sorted(ARCHIVES, key=len, reverse=True):
        if lower.endswith(ending):
            return name[: -len(ending)]
    return name
