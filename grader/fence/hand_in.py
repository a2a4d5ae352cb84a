"""Students' code beside a running mesh: where it lies, and the command that runs it.

    with HandIn(fenced=True) as hand_in:
        topology = hand_in.into(topology)         # before the mesh starts
        hand_in.put({"propagation.py": text})     # and reload where it runs (grader.collect.Lab)

Application or sidecar start the command and speak with it over its standard input and output
(``grader.fence.worker``), so the code has no network at all.  ``fenced``: behind the fence that is
``wanted`` (``grader.fence.choose``), or not at all (FenceError).  Otherwise it is the student's own
code on the student's own machine: behind a fence where that works, in a plain process where not.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from grader.fence.choose import Fence, choose
from grader.fence.limits import AUTO, CONTAINER, FenceError, Limits
from grader.lab import LabDefinition
from mesh.topology import Service, Topology, Workload

WORKER = Path(__file__).with_name("worker.py")
LIMITS = Limits(seconds=120, memory=1 << 30, processes=64, disk=16 << 20)
MAX_BYTES = 64_000
NOTE = (
    """broken=$0 note=$1; shift; "$@"; code=$?; [ $code -ne $broken ] || : > "$note"; exit $code"""
)
"""Runs the rest and leaves a note when it ends with that exit code.  Killing this shell is enough:
the command's standard input is its lifeline."""


def has_code(lab: LabDefinition) -> bool:
    """Whether the lab takes code from its students."""
    return any(name.endswith(".py") for name in lab.files)


def read_code(lab: LabDefinition, folder: Path) -> dict[str, str]:
    """The code handed in, by file name; a file that is too large or no text is empty."""
    found = {}
    for name in lab.files:
        if name.endswith(".py"):
            data = (folder / name).read_bytes()[: MAX_BYTES + 1]
            found[name] = "" if len(data) > MAX_BYTES else data.decode("utf-8", "replace")
    return found


def prepare(lab: LabDefinition, wanted: str, runtime: str) -> None:
    """Build the container's image before many attempts ask for it; FenceError when it fails."""
    if wanted == CONTAINER and runtime == "local" and has_code(lab):
        choose(wanted)


class HandIn:
    """A private folder with the code of one student at a time; ``name`` is its fence's."""

    def __init__(self, *, fenced: bool, contained: bool = False, wanted: str = AUTO) -> None:
        self._fence: Fence | None = None
        try:
            self._fence = None if contained else choose(wanted)
        except FenceError:
            if fenced or wanted != AUTO:
                raise
        self.name = self._fence.name if self._fence else "container" if contained else "none"
        self._private = Path(tempfile.mkdtemp(prefix="mesh-lab-code-"))
        # Inside the fence everybody may read it; outside nobody gets to it but who grades.
        self.folder = self._private / "hand-in"
        self._broken = self._private / "broken"
        self.folder.mkdir()
        self.folder.chmod(0o755)
        shutil.copy(WORKER, self.folder)
        (self.folder / WORKER.name).chmod(0o644)

    def __enter__(self) -> Self:
        """Nothing to do: the folder is there."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder."""
        self.close()

    def close(self) -> None:
        """Remove the folder; what runs goes on with what it has loaded."""
        shutil.rmtree(self._private, ignore_errors=True)

    def put(self, files: Mapping[str, str]) -> None:
        """Write the code; processes that have loaded another one have to be told."""
        for name, text in files.items():
            place = self.folder / Path(name).name
            place.write_text(text, encoding="utf-8")
            place.chmod(0o644)

    def command(self, kind: str, name: str) -> tuple[str, ...]:
        """The command that runs the file ``name`` as ``forward`` or ``filter``."""
        if self._fence is None:
            return (
                sys.executable,
                "-I",
                str(self.folder / WORKER.name),
                kind,
                str(self.folder / name),
            )
        inner = [*self._fence.python, WORKER.name, kind, name]
        found = self._fence.command(inner, self.folder, LIMITS)
        if self._fence.broken is not None:
            found = ["sh", "-c", NOTE, str(self._fence.broken), str(self._broken), *found]
        return tuple(found)

    def check(self) -> None:
        """FenceError when the fence could not run something: that is nobody's fault who handed in."""
        if self._broken.exists():
            raise FenceError(
                f"The fence ({self.name}) failed while the lab ran: what it measured means nothing."
            )

    def into(self, topology: Topology) -> Topology:
        """The topology with commands in place of the names of files."""
        return replace(topology, services=tuple(self._service(each) for each in topology.services))

    def _service(self, service: Service) -> Service:
        return replace(service, workloads=tuple(self._workload(each) for each in service.workloads))

    def _workload(self, workload: Workload) -> Workload:
        code, code_filter = workload.code, workload.filter
        return replace(
            workload,
            code=self.command("forward", code[0]) if code else (),
            filter=self.command("filter", code_filter[0]) if code_filter else (),
        )
