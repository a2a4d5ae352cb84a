"""What pods wrote down: access logs, journals, and plain output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.accesslog import AccessLogRecord, parse_record
from mesh.envoy.admin import Admin, AdminError
from mesh.testbed.client import TestbedError
from mesh.testbed.pods import LocalPod

_ACTIVE = "downstream_rq_active"
_ROUNDS = 20


def flush(pods: Iterable[LocalPod]) -> None:
    """The barrier: return when every sidecar has written all that it logged so far.

    A record is made when a request is over at its sidecar, a moment after the client has its
    answer; so first nothing may be on its way (unless traffic goes on: then up to this moment).
    TestbedError when a sidecar does not answer.
    """
    with ThreadPoolExecutor(8, thread_name_prefix="flush") as pool:
        list(pool.map(_flush, [pod for pod in pods if pod.injected]))


def stats(pod: LocalPod, pattern: str) -> dict[str, int]:
    """Return the sidecar's statistics whose name ``pattern`` finds; TestbedError without one."""
    if not pod.injected:
        raise TestbedError(f"{pod.name} has no sidecar")
    try:
        return Admin(pod.node.admin).stats(pattern)
    except AdminError as problem:
        raise TestbedError(f"{pod.name}: {problem}") from None


def clusters(pod: LocalPod) -> dict[str, Any]:
    """Return the sidecar's clusters and endpoints; TestbedError without a sidecar."""
    if not pod.injected:
        raise TestbedError(f"{pod.name} has no sidecar")
    try:
        return Admin(pod.node.admin).clusters()
    except AdminError as problem:
        raise TestbedError(f"{pod.name}: {problem}") from None


def reload_filter(pod: LocalPod) -> None:
    """Let a sidecar load its student's filter again; TestbedError when it has none."""
    try:
        Admin(pod.node.admin).reload_filter()
    except AdminError as problem:
        raise TestbedError(f"{pod.name}: {problem}") from None


def _flush(pod: LocalPod) -> None:
    admin = Admin(pod.node.admin)
    try:
        for _ in range(_ROUNDS):
            active = admin.stats(_ACTIVE)
            if not any(value for name, value in active.items() if "admin" not in name):
                break
        admin.reopen_logs()
    except AdminError as problem:
        raise TestbedError(f"{pod.name}: {problem} Its output is in {pod.folder}.") from None


@dataclass(slots=True)
class Reader[T]:
    """Reads files of lines that only grow: each line is parsed once, whoever asks how often.

    A line that has no end yet is left for the next time; a killed process never ends it.
    """

    parse: Callable[[str, str], T]
    _files: dict[Path, tuple[int, list[T]]] = field(default_factory=dict)

    def read(self, name: str, path: Path) -> list[T]:
        """Return what is in the file ``path`` of the pod ``name``; nothing when there is none."""
        offset, known = self._files.get(path, (0, []))
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return []
        data = data[: data.rfind(b"\n") + 1]
        lines = data.decode("utf-8", "replace").split("\n")
        known += [self.parse(name, line) for line in lines if line]
        self._files[path] = (offset + len(data), known)
        return known


@dataclass(slots=True)
class Records:
    """Access logs and journals of one mesh."""

    _logs: Reader[AccessLogRecord] = field(default_factory=lambda: Reader(parse_record))
    _journals: Reader[dict[str, Any]] = field(
        default_factory=lambda: Reader(lambda _, line: dict(json.loads(line)))
    )

    def access_log(self, pod: LocalPod) -> list[AccessLogRecord]:
        """Return a pod's access log."""
        return self._logs.read(pod.name, pod.folder / "access.jsonl")

    def journal(self, pod: LocalPod) -> list[dict[str, Any]]:
        """Return what a pod's application handled."""
        return self._journals.read(pod.name, pod.journal)


def output(pod: LocalPod) -> str:
    """Return what a pod's processes printed, each part under its name."""
    parts = []
    for name in ("app", "sidecar"):
        path = pod.folder / f"{name}.log"
        if path.exists():
            parts.append(f"--- {name}\n{path.read_text(encoding='utf-8', errors='replace')}")
    return "".join(parts)
