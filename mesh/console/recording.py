"""Recordings: what a page showed of a scene, second by second, in a small file of the kit.

``meshctl demo N --record`` starts the scene, watches it for a while and writes the file anew.  A page
that replays it shows the same graphs, figures and requests as the run did.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mesh.accesslog import AccessLogRecord
from mesh.console.stage import Stage
from mesh.mixer.graph import Graph

FRAMES = 20
"""Seconds that a recording lasts, a frame each."""

SENT = 6
"""Requests that are sent and explained in it."""

SHORT, WHOLE = 10, 0
"""Graphs of a frame: of the last ten seconds, and of the whole run (``Source.graph``)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A second of the run: ``graphs`` by seconds, and the ids of the newest requests."""

    graphs: Mapping[int, Graph]
    newest: Sequence[str]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded run of a scene.

    ``applied`` is the scene's configuration as it was; ``sent`` are (status, body, id) of requests that
    were sent for the page, ``records`` the gateway's log lines and ``hops`` the explanations, by id.
    """

    date: str
    engine: str
    era: str
    applied: str
    services: list[str]
    pods: list[str]
    resources: list[dict[str, Any]]
    frames: tuple[Frame, ...]
    sent: tuple[tuple[int, str, str], ...]
    records: dict[str, AccessLogRecord]
    hops: dict[str, list[dict[str, Any]]]


def record(stage: Stage, frames: int = FRAMES) -> Recording:
    """Watch a scene with its visitors for ``frames`` seconds, and send some requests."""
    pause = threading.Event()
    seen: list[Frame] = []
    records: dict[str, AccessLogRecord] = {}
    sent: list[tuple[int, str, str]] = []
    hops: dict[str, list[dict[str, Any]]] = {}
    for number in range(frames):
        pause.wait(1)  # a second of the run is what a frame is
        if number < SENT:
            sent.append(stage.send("/", {}))
            name = sent[-1][2]
            hops[name] = stage.hops(name)  # at once: a sidecar remembers the newest ones only
        newest = stage.newest()
        records |= {each.request_id: each for each in newest}
        graphs = {seconds: stage.graph(seconds) for seconds in (SHORT, WHOLE)}
        seen.append(Frame(graphs, [each.request_id for each in newest]))
    hops |= {name: stage.hops(name) for name in seen[-1].newest}
    return Recording(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        engine=stage.engine,
        era=stage.scene.era,
        applied=stage.scene.apply,
        services=stage.services,
        pods=stage.pods,
        resources=[{**each, "file": Path(each["file"]).name} for each in stage.resources()],
        frames=tuple(seen),
        sent=tuple(sent),
        records=records,
        hops=hops,
    )


def save(recording: Recording, path: Path) -> int:
    """Write a recording; returns its size in bytes.  The same recording gives the same bytes."""
    raw = {**asdict(recording), "frames": [_plain(each) for each in recording.frames]}
    text = json.dumps(raw, ensure_ascii=False, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    return path.stat().st_size


def load(path: Path) -> Recording:
    """Read what ``save`` wrote; OSError when it is not there, ValueError when it is damaged."""
    try:
        raw = json.loads(gzip.decompress(path.read_bytes()))
        frames = tuple(
            Frame(
                {int(name): Graph.from_dict(data) for name, data in each["graphs"].items()},
                each["newest"],
            )
            for each in raw["frames"]
        )
        records = {name: AccessLogRecord(**data) for name, data in raw["records"].items()}
        sent = tuple((status, body, name) for status, body, name in raw["sent"])
        return Recording(**{**raw, "frames": frames, "records": records, "sent": sent})
    except (EOFError, KeyError, TypeError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path.name} is no recording ({type(error).__name__}: {error})") from None


def _plain(frame: Frame) -> dict[str, Any]:
    graphs = {str(seconds): graph.as_dict() for seconds, graph in frame.graphs.items()}
    return {"graphs": graphs, "newest": list(frame.newest)}
