"""Lock: one grader at a time in a namespace, since two would take each other's configuration away.

A ConfigMap says who is there and until when, in the holder's own words.  The API server decides who
gets it: ``kubectl create`` fails where it exists, ``kubectl replace`` where somebody else has replaced
it since it was read (``resourceVersion``).  So one that a killed grader left is taken over by one other,
once its time is over.  A ConfigMap and not a Lease: the role ``edit`` of every release may write it.

    kubectl --namespace tutorial get configmap mesh-lab-grader -o yaml
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes.kubectl import Kubectl, KubectlError

NAME = "mesh-lab-grader"
LIFETIME = timedelta(minutes=15)
"""How long a lock holds after its holder last changed something: longer than a lab's checks take."""
RENEWED = LIFETIME / 3
NEVER = datetime.max.replace(tzinfo=UTC)
_TOO_LATE = {"create": ("(AlreadyExists)",), "replace": ("(Conflict)", "(NotFound)")}
"""By which words the API server says that somebody else was faster."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Lock:
    """The lock of ``spaces``, the lab's namespaces; ``holder`` is who others read about."""

    kubectl: Kubectl
    spaces: Sequence[str]
    holder: str
    now: Callable[[], datetime] = _now
    _versions: dict[str, str] = field(default_factory=dict)
    _written: datetime = field(default_factory=_now)

    def take(self) -> None:
        """Get all of them; TestbedError says who has one, and how to take it over."""
        try:
            for space in sorted(self.spaces):
                self._take(space)
        except BaseException:
            self.release()
            raise

    def renew(self) -> None:
        """Go on holding it; TestbedError when it was taken over meanwhile.  Does nothing too soon."""
        if not self._versions or self.now() - self._written < RENEWED:
            return
        for space, version in list(self._versions.items()):
            if not self._write("replace", space, version):
                del self._versions[space]
                raise TestbedError(
                    f"another grader took the namespace {space} over, so this run ends: "
                    f"{self._told(space, self._read(space))}"
                )

    def ours(self) -> bool:
        """Whether nobody has taken one of them over."""
        found = {space: (self._read(space) or {}).get("metadata", {}) for space in self._versions}
        held = {space: meta.get("resourceVersion", "") for space, meta in found.items()}
        return bool(held) and held == self._versions and len(held) == len(self.spaces)

    def release(self) -> None:
        """Let go of what is ours; calling it again does nothing."""
        for space, version in list(self._versions.items()):
            del self._versions[space]
            there = self._read(space)
            if there is not None and there["metadata"]["resourceVersion"] == version:
                self.kubectl.within(space).run("delete", "configmap", NAME, "--ignore-not-found")

    def _take(self, space: str) -> None:
        # Each further turn is one in which somebody else got or gave it just then.
        while not self._write("create", space):
            there = self._read(space)
            if there is None:
                continue
            if self.now() < _until(there):
                raise TestbedError(self._told(space, there))
            if self._write("replace", space, there["metadata"]["resourceVersion"]):
                return

    def _write(self, verb: str, space: str, version: str = "") -> bool:
        """Write the ConfigMap; False when it is (or is no more) what ``verb`` asks for."""
        now = self.now()
        metadata = {"name": NAME} | ({"resourceVersion": version} if version else {})
        data = {"holder": self.holder, "until": (now + LIFETIME).isoformat(timespec="seconds")}
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        try:
            text = self.kubectl.within(space).run(
                verb, "-f", "-", "-o", "json", given=json.dumps(document)
            )
        except KubectlError as problem:
            if any(word in str(problem) for word in _TOO_LATE[verb]):
                return False
            raise TestbedError(
                f"the namespace {space} cannot be held for this run ({problem}): the grader needs "
                "the rights that docs/kubernetes.md lists"
            ) from None
        self._versions[space] = json.loads(text)["metadata"]["resourceVersion"]
        self._written = now
        return True

    def _read(self, space: str) -> dict[str, Any] | None:
        there = self.kubectl.within(space)
        text = there.run("get", "configmap", NAME, "--ignore-not-found", "-o", "json")
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def _told(self, space: str, there: dict[str, Any] | None) -> str:
        if there is None:
            return f"the ConfigMap {NAME} is gone"
        holder, until = there.get("data", {}).get("holder", "somebody"), _until(there)
        ends = "" if until == NEVER else f" (until {until:%H:%M:%S} UTC, if it does not go on)"
        return (
            f"{holder} grades in the namespace {space}{ends}: wait for it, or, where it is gone, take "
            f"over with `kubectl --namespace {space} delete configmap {NAME}`"
        )


def _until(there: dict[str, Any]) -> datetime:
    """When a lock's time ends; for one that does not say it, never."""
    try:
        return datetime.fromisoformat(there["data"]["until"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        return NEVER


def this_process() -> str:
    """Who holds a lock of this process, for people."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = f"user {os.getuid()}"
    return f"{user} on {socket.gethostname()}, process {os.getpid()}"
