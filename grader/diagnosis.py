"""The diagnosis: a mesh that is broken on purpose, seen only through logs, flags and metrics.

After a lab's own probes the student's configuration makes way for one of the broken ones of
``labs/NN-name/diagnosis.yaml`` (which one follows from the student's seed), some requests are
sent, and what an engineer on call would have is written to ``work/lab-NN/diagnosis/``:
``client.txt``, ``log.txt`` and ``metrics.txt``.  The broken YAML itself is not shown.

    - name: empty-subset                 # also the right answer to "what is wrong?"
      apply: |
        apiVersion: ...
      tell: [[recommendation-v2, /misbehave]]     # optional: paths asked of applications before,
      undo: [[recommendation-v2, /behave]]        # and after
      requests: 40                                # default

A handout has ``diagnosis.sealed`` in its place: the same, compressed, so that nobody reads it by
accident.  It is no secret from somebody who wants to know.
"""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from grader.collect import Lab, slim
from grader.lab import LabDefinition
from grader.load.observation import Observation
from mesh.topology import INJECT

PROBE = "diagnosis"
FILE = "diagnosis.yaml"
SEALED = "diagnosis.sealed"
REQUESTS = 40

METRICS = (
    r"^cluster\.(outbound|inbound).*\.(upstream_rq_(\d+|\dxx|total|retry|retry_success|"
    r"retry_limit_exceeded|timeout|per_try_timeout|pending_overflow)|upstream_cx_connect_fail|"
    r"upstream_cx_overflow|outlier_detection\.ejections_(active|enforced_total))$"
    r"|fault\.(aborts|delays)_injected$"
)
"""The statistics shown: what Envoy counts for each cluster, and the injected faults."""


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken mesh."""

    name: str
    apply: str
    tell: tuple[tuple[str, str], ...]
    undo: tuple[tuple[str, str], ...]
    requests: int


def load_broken(lab: LabDefinition) -> tuple[Broken, ...]:
    """The broken meshes of ``lab``; none when it has no diagnosis."""
    plain, sealed = lab.folder / FILE, lab.folder / SEALED
    if plain.exists():
        text = plain.read_text(encoding="utf-8")
    elif sealed.exists():
        text = zlib.decompress(base64.b64decode(sealed.read_bytes())).decode()
    else:
        return ()
    return tuple(
        Broken(
            name=item["name"],
            apply=item.get("apply", ""),
            tell=tuple((pod, path) for pod, path in item.get("tell", ())),
            undo=tuple((pod, path) for pod, path in item.get("undo", ())),
            requests=int(item.get("requests", REQUESTS)),
        )
        for item in yaml.safe_load(text)
    )


def seal(text: str) -> bytes:
    """What ``load_broken`` reads from ``diagnosis.sealed``."""
    return base64.encodebytes(zlib.compress(text.encode(), 9))


def diagnose(lab: Lab, broken: Broken) -> dict[str, str]:
    """Break the mesh, send traffic, heal it; returns the files for the student by name."""
    lab.apply_text(broken.apply)
    pods = [pod.name for pod in lab.testbed.pods() if pod.labels.get(INJECT) != "false"]
    before = {pod: lab.testbed.stats(pod, METRICS) for pod in pods}
    try:
        for pod, path in broken.tell:
            lab.testbed.tell(pod, path)
        seen = lab.count(PROBE, broken.requests)
    finally:
        for pod, path in broken.undo:
            lab.testbed.tell(pod, path)
    ids = {item.request_id for item in seen}
    log = [slim(asdict(line)) for line in lab.testbed.access_log() if line.request_id in ids]
    metrics = {
        pod: {
            name: value - before[pod].get(name, 0)
            for name, value in lab.testbed.stats(pod, METRICS).items()
            if value != before[pod].get(name, 0)
        }
        for pod in pods
    }
    lab.note(PROBE, variant=broken.name, metrics=metrics)
    return {
        "client.txt": client_text(seen),
        "log.txt": log_text(log),
        "metrics.txt": metrics_text(metrics),
    }


def client_text(seen: Sequence[Observation]) -> str:
    """What the customers saw: statuses, times and the first body of each kind."""
    lines = [f"{len(seen)} customers asked for / at the gateway.", ""]
    counted = Counter(item.status for item in seen)
    for status, count in sorted(counted.items()):
        times = sorted(item.seconds * 1000 for item in seen if item.status == status)
        first = next(item for item in seen if item.status == status)
        lines.append(
            f"{count:4} x {status or first.error}   median {times[len(times) // 2]:.0f} ms, "
            f"longest {times[-1]:.0f} ms   e.g. {first.body.strip()[:120]}"
        )
    return "\n".join(lines) + "\n"


def log_text(log: Sequence[dict[str, Any]]) -> str:
    """The sidecars' access logs in order of time, one line a request and sidecar."""
    lines = ["# time  pod  direction  method authority  code flags details  ms  cluster  id", ""]
    lines += map(_log_line, sorted(log, key=lambda each: str(each.get("start_time", ""))))
    return "\n".join(lines) + "\n"


def _log_line(item: dict[str, Any]) -> str:
    return (
        f"{str(item.get('start_time', ''))[11:23]}  {item.get('pod')}  "
        f"{item.get('direction', '-')}  {item.get('method')} {item.get('authority', '-')}  "
        f"{item.get('response_code', 0)} {item.get('response_flags', '-')} "
        f"{item.get('response_code_details', '-')}  {item.get('duration', 0)} ms  "
        f"{item.get('upstream_cluster', '-')}  {item.get('request_id')}"
    )


def metrics_text(metrics: dict[str, dict[str, int]]) -> str:
    """What the sidecars' counters grew by, as ``/stats`` prints them."""
    lines: list[str] = []
    for pod, counters in metrics.items():
        lines += [f"# {pod}", *(f"{name}: {value}" for name, value in sorted(counters.items())), ""]
    return "\n".join(lines)
