"""A lab as its folder describes it: ``labs/NN-name/lab.yaml``, the starter and the solution.

    number: 1
    title: Canary release
    era: istio-1.9
    files: [destination-rule.yaml, virtual-service.yaml]    # all that is taken from the student
    topology: {services: {...}}                             # mesh/testbed/load_topology.py
    parameters: {share: 10, alternatives: [20, 2]}          # the self-study set
    parameters_text: 10 % to v2                             # {share} is filled in
    task: ...
    first: ...

Only the kit's own files are read here; the student's YAML goes through ``mesh.istio``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LABS = Path(__file__).resolve().parents[1] / "labs"

_KEYS = ("number", "title", "era", "files", "topology", "parameters", "parameters_text", "task")


class LabError(Exception):
    """A lab that is not there or is not well-formed; the text is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class LabDefinition:
    """One lab; ``files`` are names within the student's folder, ``topology`` is plain data."""

    folder: Path
    number: int
    name: str
    title: str
    era: str
    files: tuple[str, ...]
    topology: dict[str, Any]
    parameters: dict[str, Any]
    parameters_text: str
    task: str
    first: str

    @property
    def slug(self) -> str:
        """``lab-01``, the name of its folders below ``work/`` and ``runs/``."""
        return f"lab-{self.number:02d}"

    @property
    def start(self) -> Path:
        """The starter's folder."""
        return self.folder / "start"

    @property
    def solution(self) -> Path:
        """The folder of one right answer."""
        return self.folder / "solution"


def find_lab(number: int, labs: Path = LABS) -> LabDefinition:
    """The lab with this number; LabError names those that exist."""
    folders = sorted(path.parent for path in labs.glob("[0-9][0-9]-*/lab.yaml"))
    for folder in folders:
        if int(folder.name[:2]) == number:
            return read_lab(folder)
    known = ", ".join(str(int(folder.name[:2])) for folder in folders) or "none"
    raise LabError(f"There is no lab {number}; these are here: {known}.")


def read_lab(folder: Path) -> LabDefinition:
    """Read ``folder/lab.yaml``; LabError when something is missing."""
    raw = yaml.safe_load((folder / "lab.yaml").read_text(encoding="utf-8"))
    if not isinstance(raw, dict):
        raise LabError(f"{folder}/lab.yaml is not a mapping.")
    missing = [key for key in _KEYS if key not in raw]
    unknown = sorted(set(raw) - {*_KEYS, "first"})
    if missing or unknown:
        fault = f"lacks {missing[0]!r}" if missing else f"has an unknown key {unknown[0]!r}"
        raise LabError(f"{folder}/lab.yaml {fault}.")
    return LabDefinition(
        folder=folder,
        number=int(raw["number"]),
        name=folder.name[3:],
        title=str(raw["title"]),
        era=str(raw["era"]),
        files=tuple(str(name) for name in raw["files"]),
        topology=dict(raw["topology"]),
        parameters=dict(raw["parameters"]),
        parameters_text=str(raw["parameters_text"]).format(**raw["parameters"]),
        task=str(raw["task"]).strip(),
        first=str(raw.get("first", "")).strip(),
    )
