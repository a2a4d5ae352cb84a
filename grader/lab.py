"""A lab as its folder describes it: ``labs/NN-name/lab.yaml``, the starter and the solution.

    number: 1
    title: Canary release
    era: istio-1.9
    minutes: 40                                  # of the chapter's core, for somebody new to it
    files: [destination-rule.yaml, virtual-service.yaml, answers.yaml]   # taken from the student
    topology: {services: {...}}                  # mesh/testbed/load_topology.py
    parameters: {share: 10, alternatives: [20, 2]}                       # the self-study set
    draw: [[{share: 15, alternatives: [27, 6]}, ...]]                    # grader/parameters.py
    engines: [mitmproxy]                         # default: both
    parameters_text: "{share} % to v2"           # braces are filled in, here and in task and first
    task: ...
    first: ...

Only the kit's own files are read here; the student's YAML goes through ``mesh.istio``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from grader.parameters import Groups, ParameterSet, Values

LABS = Path(__file__).resolve().parents[1] / "labs"
ANSWERS = "answers.yaml"
CORE_MINUTES = 45
"""The longest that the core of a lab may take."""

ENGINES = ("mitmproxy", "envoy")

_KEYS = (
    "number",
    "title",
    "era",
    "minutes",
    "files",
    "topology",
    "parameters",
    "parameters_text",
    "task",
    "first",
)


class LabError(Exception):
    """A lab that is not there or is not well-formed; the text is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class LabDefinition:
    """One lab; ``files`` are names within the student's folder, ``topology`` is plain data.

    Files that end in ``.py`` are code, which runs behind the fence (``grader.fence.hand_in``).

    ``parameters`` are the values of this run, ``owner`` says whose; ``texts`` are the templates of
    the properties ``parameters_text``, ``task`` and ``first``.
    """

    folder: Path
    number: int
    name: str
    title: str
    era: str
    minutes: int
    files: tuple[str, ...]
    topology: dict[str, Any]
    parameters: Values
    draw: Groups
    texts: dict[str, str]
    set: ParameterSet
    engines: tuple[str, ...] = ENGINES

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

    @property
    def manifests(self) -> tuple[str, ...]:
        """The files handed in that go into the mesh: Istio YAML."""
        return tuple(name for name in self.files if name.endswith(".yaml") and name != ANSWERS)

    @property
    def parameters_text(self) -> str:
        """The parameters in a few words."""
        return self.fill(self.texts["parameters_text"])

    @property
    def task(self) -> str:
        """What is asked for, with this run's numbers."""
        return self.fill(self.texts["task"])

    @property
    def first(self) -> str:
        """What to try first."""
        return self.fill(self.texts["first"])

    def fill(self, text: str) -> str:
        """Put the parameters in place of ``{name}``; LabError when a name is none of them."""
        try:
            return text.format(**self.parameters)
        except (KeyError, IndexError, ValueError) as error:
            raise LabError(f"{self.folder}: {text[:60]!r} cannot be filled in: {error}.") from None

    def with_set(self, chosen: ParameterSet) -> LabDefinition:
        """The same lab with another set of parameters."""
        return replace(self, parameters=dict(chosen.values), set=chosen)


def lab_folders(labs: Path = LABS) -> list[Path]:
    """The folders of all labs, by number."""
    return sorted(path.parent for path in labs.glob("[0-9][0-9]-*/lab.yaml"))


def all_labs(labs: Path = LABS) -> tuple[LabDefinition, ...]:
    """All labs, by number."""
    return tuple(read_lab(folder) for folder in lab_folders(labs))


def find_lab(number: int, labs: Path = LABS) -> LabDefinition:
    """The lab with this number; LabError names those that exist."""
    folders = lab_folders(labs)
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
    unknown = sorted(set(raw) - {*_KEYS, "draw", "engines"})
    if missing or unknown:
        fault = f"lacks {missing[0]!r}" if missing else f"has an unknown key {unknown[0]!r}"
        raise LabError(f"{folder}/lab.yaml {fault}.")
    if not 0 < raw["minutes"] <= CORE_MINUTES:
        raise LabError(f"{folder}/lab.yaml: the core takes {CORE_MINUTES} minutes at most.")
    groups = raw.get("draw") or []
    strangers = {key for group in groups for part in group for key in part} - set(raw["parameters"])
    if strangers:
        raise LabError(f"{folder}/lab.yaml draws {min(strangers)!r}, which is no parameter.")
    return LabDefinition(
        folder=folder,
        number=int(raw["number"]),
        name=folder.name[3:],
        title=str(raw["title"]),
        era=str(raw["era"]),
        minutes=int(raw["minutes"]),
        files=tuple(str(name) for name in raw["files"]),
        topology=dict(raw["topology"]),
        parameters=dict(raw["parameters"]),
        draw=groups,
        texts={key: str(raw[key]).strip() for key in ("parameters_text", "task", "first")},
        set=ParameterSet(dict(raw["parameters"])),
        engines=tuple(raw.get("engines", ENGINES)),
    )
