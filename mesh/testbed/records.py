"""What pods wrote down: access logs, journals, and plain output."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
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
        list(pool.map(_flush, pods))


def _flush(pod: LocalPod) -> None:
    admin = Admin(pod.node.admin_port)
    try:
        for _ in range(_ROUNDS):
            active = admin.stats(_ACTIVE)
            if not any(value for name, value in active.items() if "admin" not in name):
                break
        admin.reopen_logs()
    except AdminError as problem:
        raise TestbedError(f"{pod.name}: {problem} Its output is in {pod.folder}.") from None


def access_log(pod: LocalPod, *, killed: bool = False) -> list[AccessLogRecord]:
    """Read a pod's access log; of a killed one the last line may be half and is left out."""
    return [parse_record(pod.name, line) for line in _lines(pod.folder / "access.jsonl", killed)]


def journal(pod: LocalPod, *, killed: bool = False) -> list[dict[str, Any]]:
    """Read what a pod's application handled."""
    return [json.loads(line) for line in _lines(pod.folder / "journal.jsonl", killed)]


def _lines(path: Path, killed: bool) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    lines = text.split("\n")
    rest = lines.pop()
    if rest and not killed:
        lines.append(rest)
    return [line for line in lines if line]


def output(pod: LocalPod) -> str:
    """Return what a pod's processes printed, each part under its name."""
    parts = []
    for name in ("app", "sidecar"):
        path = pod.folder / f"{name}.log"
        if path.exists():
            parts.append(f"--- {name}\n{path.read_text(encoding='utf-8', errors='replace')}")
    return "".join(parts)
