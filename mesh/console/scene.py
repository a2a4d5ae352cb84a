"""Scenes: prepared meshes to show, one or two for each act of the lecture.

``scenes/N-name.yaml`` has ``title``, ``act``, ``view`` (which the page opens with), ``era``, ``apply`` (the
resources), ``look`` and ``try`` (what to see and to do), and if wanted ``topology``, ``users`` (visitors at a
time) and ``tell`` (paths asked of applications at the beginning).
``N-name.json.gz`` beside it is a recorded run.  ``make demo`` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mesh.istio.eras import era
from mesh.istio.load import load_text
from mesh.istio.resource import Resource
from mesh.testbed.load_topology import load_topology, standard_topology
from mesh.topology import Topology

FOLDER = Path(__file__).with_name("scenes")
USERS = 3


class SceneError(Exception):
    """There is no such scene; one sentence."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene; ``path`` is its YAML file, ``hint`` what to try."""

    path: Path
    number: int
    title: str
    act: str
    view: str
    era: str
    look: str
    hint: str
    apply: str
    topology: Topology
    users: int = USERS
    tell: tuple[tuple[str, str], ...] = ()

    @property
    def recording(self) -> Path:
        """Where a recorded run of it is kept."""
        return self.path.with_suffix(".json.gz")

    def resources(self) -> tuple[Resource, ...]:
        """Its configuration, in its release."""
        loaded = load_text(
            self.apply, self.path.name, era=era(self.era), namespace=self.topology.namespace
        )
        return tuple(loaded.resources)


def all_scenes(folder: Path = FOLDER) -> tuple[Scene, ...]:
    """All scenes by number."""
    paths = sorted(folder.glob("*.yaml"), key=lambda path: int(path.name.partition("-")[0]))
    return tuple(_read(path) for path in paths)


def find_scene(number: int, folder: Path = FOLDER) -> Scene:
    """The scene with this number; SceneError names those that are there."""
    scenes = all_scenes(folder)
    for scene in scenes:
        if scene.number == number:
            return scene
    raise SceneError(
        f"there is no scene {number}: choose one of 1 to {len(scenes)} (`make demo` lists them)"
    )


def _read(path: Path) -> Scene:
    raw: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    topology = raw.get("topology")
    return Scene(
        path=path,
        number=int(path.name.partition("-")[0]),
        title=raw["title"],
        act=raw["act"],
        view=raw["view"],
        era=raw["era"],
        look=raw["look"].strip(),
        hint=raw["try"].strip(),
        apply=raw["apply"],
        topology=load_topology(topology) if topology else standard_topology(),
        users=int(raw.get("users", USERS)),
        tell=tuple((pod, ask) for pod, ask in raw.get("tell", ())),
    )
