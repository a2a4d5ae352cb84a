"""Evidence: all that a run recorded, and all that a check may look at.

Files of a run, each readable by itself: ``observations.jsonl`` (the client's side),
``access_log.jsonl`` (the sidecars'), ``journal.jsonl`` (the applications') and ``evidence.json``
(pods, parameters, notes of the probes).  The request id joins them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from grader.load.observation import Observation, read_jsonl, write_jsonl


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run.

    ``pods`` maps a pod's name to its labels, ``notes`` a probe's name to what it wrote down;
    a probe that could not do its work left ``{"error": reason}``.  ``access_log`` and ``journal``
    are JSON objects as written (``mesh.accesslog``, ``services.journal``).
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    pods: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    observations: tuple[Observation, ...] = ()
    access_log: tuple[dict[str, Any], ...] = ()
    journal: tuple[dict[str, Any], ...] = ()

    def probe(self, name: str) -> tuple[Observation, ...]:
        """The observations of the probe ``name``, in order of issue."""
        return tuple(item for item in self.observations if item.probe == name)

    def version_of(self, pod: str) -> str:
        """The label ``version`` of a pod, ``""`` for a pod nobody knows."""
        return self.pods.get(pod, {}).get("version", "")

    def journal_of(self, ids: Iterable[str], app: str) -> tuple[dict[str, Any], ...]:
        """What the pods labelled ``app`` wrote about the requests ``ids``."""
        wanted = set(ids)
        return tuple(
            line
            for line in self.journal
            if line.get("request_id") in wanted
            and self.pods.get(str(line.get("pod")), {}).get("app") == app
        )

    def with_missing(self, before: Evidence) -> Evidence:
        """The same with the probes that only ``before`` has, an earlier run on the same mesh."""
        missing = set(before.notes) - set(self.notes)
        own = {item.probe for item in self.observations}
        items = tuple(item for item in before.observations if item.probe not in own)
        ids = {item.request_id for item in items}
        return replace(
            self,
            pods={**before.pods, **self.pods},  # some may have been killed since
            notes={**self.notes, **{name: before.notes[name] for name in missing}},
            observations=(*self.observations, *items),
            access_log=(
                *self.access_log,
                *(line for line in before.access_log if line.get("request_id") in ids),
            ),
            journal=(
                *self.journal,
                *(line for line in before.journal if line.get("request_id") in ids),
            ),
        )

    def save(self, folder: Path) -> None:
        """Write the files into ``folder``, which exists."""
        write_jsonl(folder / "observations.jsonl", self.observations)
        _write_lines(folder / "access_log.jsonl", self.access_log)
        _write_lines(folder / "journal.jsonl", self.journal)
        rest = {"parameters": self.parameters, "pods": self.pods, "notes": self.notes}
        text = json.dumps(rest, indent=2, ensure_ascii=False)
        (folder / "evidence.json").write_text(text + "\n", encoding="utf-8")


def load_evidence(folder: Path) -> Evidence:
    """Read what ``Evidence.save`` wrote; OSError or ValueError when it is not there or damaged."""
    rest = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
    return Evidence(
        parameters=rest["parameters"],
        pods=rest["pods"],
        notes=rest["notes"],
        observations=read_jsonl(folder / "observations.jsonl"),
        access_log=_read_lines(folder / "access_log.jsonl"),
        journal=_read_lines(folder / "journal.jsonl"),
    )


def _write_lines(path: Path, items: Iterable[Mapping[str, Any]]) -> None:
    lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in items]
    path.write_text("".join(lines), encoding="utf-8")


def _read_lines(path: Path) -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
