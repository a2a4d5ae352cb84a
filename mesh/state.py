"""Where running meshes leave their files, and how a dead one's are found and removed.

All run folders are below one private root: ``$MESH_LAB_HOME``, or ``mesh-lab-<uid>`` in the
temporary directory.  Each names its owner, the process whose end ends the mesh; the next command
removes the folders whose owner is gone (``reap``).  Processes need no such care: they end by
themselves when their lifeline breaks.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOCKET_PATH_LIMIT = 100
"""Longest path of a Unix socket: the kernel's limits are 104 (macOS) and 108 (Linux) bytes."""

_OWNER = "owner.json"

KEPT = "kept"
"""A file in the folder of a mesh that was started to stay: it is meant when others run beside it."""


class StateError(Exception):
    """A folder cannot be used; the text is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: its id and its start time, since ids are used again."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Owner:
        """Describe the living process ``pid``; ``started`` is ``""`` when there is none."""
        return cls(pid, _started(pid))

    def alive(self) -> bool:
        """Tell whether this very process still runs (a zombie does not)."""
        return self.started != "" and _started(self.pid) == self.started


def _started(pid: int) -> str:
    """When ``pid`` started, in the system's own unit; ``""`` for no process or a zombie."""
    proc = Path("/proc") / str(pid) / "stat"
    if proc.parent.parent.joinpath("self").exists():
        try:
            fields = proc.read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    import psutil  # only where there is no /proc: its import costs more than the rest

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def root() -> Path:
    """Return the private folder of all run folders, made if need be.

    StateError when it cannot be made, is somebody else's, or is open to others.
    """
    home = os.environ.get("MESH_LAB_HOME", "")
    path = Path(home) if home else Path(tempfile.gettempdir()) / f"mesh-lab-{os.getuid()}"
    path = path.absolute()
    advice = "set MESH_LAB_HOME to a folder of your own"
    try:
        path.mkdir(mode=0o700, parents=bool(home), exist_ok=True)
        found = path.lstat()
    except OSError as problem:
        raise StateError(f"cannot make the folder {path} ({problem.strerror}): {advice}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise StateError(f"{path} is not a folder of yours: {advice}")
    if found.st_mode & 0o077:
        if home:
            raise StateError(f"{path} is open to other users: run chmod 700 {path}")
        path.chmod(0o700)
    if not os.access(path, os.W_OK | os.X_OK):
        raise StateError(f"{path} is not writable: {advice}")
    return path


def check_socket_path(path: Path) -> Path:
    """Return ``path``; StateError when it is too long for a Unix socket."""
    if len(os.fsencode(path)) >= SOCKET_PATH_LIMIT:
        raise StateError(
            f"{path} is too long for a Unix socket (limit {SOCKET_PATH_LIMIT}): "
            "set MESH_LAB_HOME to a shorter path"
        )
    return path


def write_atomic(path: Path, text: str) -> None:
    """Replace the file in one step: a reader, or a killed writer, never sees half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one mesh: logs, sockets and state; ``path`` ends in the mesh's name."""

    path: Path

    @property
    def name(self) -> str:
        """The mesh's short name, ``m-3f2a9c``."""
        return self.path.name

    @classmethod
    def create(cls) -> RunFolder:
        """Make a new folder owned by this process; it appears whole, with its owner."""
        base = root()
        while True:
            name = f"m-{secrets.token_hex(3)}"
            new, path = base / f".{name}", base / name
            try:
                new.mkdir(mode=0o700)
            except FileExistsError:
                continue
            folder = cls(new)
            folder.hand_over(os.getpid())
            (new / "s").mkdir(mode=0o700)
            check_socket_path(path / "s" / "0000")
            try:
                new.rename(path)
            except OSError:
                shutil.rmtree(new, ignore_errors=True)
                continue
            return cls(path)

    def hand_over(self, pid: int) -> None:
        """Make ``pid`` the owner: from now on the mesh lives as long as that process."""
        owner = Owner.of(pid)
        text = json.dumps({"pid": owner.pid, "started": owner.started})
        write_atomic(self.path / _OWNER, text)

    def owner(self) -> Owner | None:
        """Return who keeps this mesh alive; None when the file is missing or unreadable."""
        try:
            raw = json.loads((self.path / _OWNER).read_text(encoding="utf-8"))
            return Owner(int(raw["pid"]), str(raw["started"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def socket(self, number: int) -> Path:
        """Return the path of the run's Unix socket ``number``: short, whatever a pod is called."""
        return check_socket_path(self.path / "s" / str(number))

    def remove(self) -> None:
        """Delete the folder and all that is in it; no error when it is gone already."""
        shutil.rmtree(self.path, ignore_errors=True)


def runs() -> list[RunFolder]:
    """Return the run folders of living owners, oldest first."""
    found = [RunFolder(path) for path in root().glob("m-*") if path.is_dir()]
    living = [run for run in found if (owner := run.owner()) is not None and owner.alive()]
    return sorted(living, key=lambda run: run.path.stat().st_ctime)


def reap() -> list[str]:
    """Remove the folders whose owner is dead and return their names; kills nothing."""
    removed = []
    for path in [*root().glob("m-*"), *root().glob(".m-*")]:
        run = RunFolder(path)
        owner = run.owner()
        if owner is None and path.name.startswith("."):
            continue  # being made at this moment by another command
        if owner is None or not owner.alive():
            run.remove()
            removed.append(path.name)
    return removed
