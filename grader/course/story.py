"""What one attempt's evidence tells: for an appeal (``explain``) and for an exam (``viva``).

Requests are grouped by what came back, each group is shown with its ids and one of them with its
way through the sidecars, so that every sentence can be looked up in the evidence.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.checks import CheckFile
from grader.diagnosis import PROBE
from grader.evidence.record import Evidence
from grader.evidence.traffic import FLAGS, percent
from grader.lab import ANSWERS
from grader.load.observation import Observation


@dataclass(frozen=True, slots=True)
class Group:
    """Requests of one probe that were answered alike; ``what`` is ``200 by v2``."""

    what: str
    requests: tuple[Observation, ...]


def groups(evidence: Evidence, probe: str) -> list[Group]:
    """The requests of a probe by what came back, the most frequent first."""
    held: dict[str, list[Observation]] = {}
    for item in evidence.probe(probe):
        what = item.error or f"{item.status}" + (f" by {item.version}" if item.version else "")
        held.setdefault(what, []).append(item)
    return [
        Group(what, tuple(items))
        for what, items in sorted(held.items(), key=lambda pair: -len(pair[1]))
    ]


def way(evidence: Evidence, request_id: str) -> list[str]:
    """The stations of a request in order of time, one line a sidecar."""
    lines = [item for item in evidence.access_log if item.get("request_id") == request_id]
    return [
        "{} {} {}: {}{}, route {}, cluster {}".format(
            item.get("pod"),
            item.get("direction", ""),
            str(item.get("start_time", ""))[11:23],
            item.get("response_code", 0),
            flags(str(item.get("response_flags", ""))),
            item.get("route_name", "-"),
            item.get("upstream_cluster", "-"),
        )
        for item in sorted(lines, key=lambda each: str(each.get("start_time", "")))
    ]


def flags(text: str) -> str:
    """`` NC (no such cluster: ...)`` for a response flag, ``""`` for none."""
    known = [f"{each} ({FLAGS[each]})" for each in text.split(",") if each in FLAGS]
    return f" {', '.join(known)}" if known else ""


def deciding(
    evidence: Evidence, checks: CheckFile, result: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Each check of ``result`` with the lines that tell which requests decided it.

    A request's way is told once; an answer has its question and what was given.
    """
    needs = {item.name: item.needs for item in checks.checks}
    told: set[str] = set()
    for item in result["checks"]:
        lines: list[str] = [] if item["name"] in needs else [item["description"]]
        for probe in needs.get(item["name"], ()):
            whole = len(evidence.probe(probe))
            for group in groups(evidence, probe)[:5]:
                first, last = group.requests[0], group.requests[-1]
                count = len(group.requests)
                lines.append(
                    f"{probe}: {count} of {whole} ({percent(count, whole)}) were answered "
                    f"{group.what}, {first.request_id} to {last.request_id}"
                )
            if item["verdict"] != "pass" and (odd := oddest(evidence, probe)):
                seen = odd.request_id in told
                lines.append(f"the way of {odd.request_id}:{' see above' if seen else ''}")
                lines += [] if seen else [f"  {each}" for each in way(evidence, odd.request_id)]
                told.add(odd.request_id)
        yield item, lines


def diagnosed(evidence: Evidence) -> str:
    """What the diagnosis was about, in a sentence for the staff; ``""`` without one."""
    variant = evidence.notes.get(PROBE, {}).get("variant")
    if not variant:
        return ""
    ids = {item.request_id for item in evidence.probe(PROBE)}
    lines = [item for item in evidence.access_log if item.get("request_id") in ids]
    seen = Counter(
        each for item in lines for each in str(item.get("response_flags", "")).split(",")
    )
    wrote = ", ".join(f"{name} {count}" for name, count in seen.most_common() if name in FLAGS)
    return (
        f"The diagnosis: the mesh was broken as {variant}; its sidecars wrote {wrote or 'no flag'}."
    )


def oddest(evidence: Evidence, probe: str) -> Observation | None:
    """The request to look at: one that failed, else one of the rarest kind."""
    found = groups(evidence, probe)
    if not found:
        return None
    failed = [each for each in found if not each.what.startswith("200")]
    return (failed or found)[-1].requests[0]


@dataclass(frozen=True, slots=True)
class VivaQuestion:
    """A question for a talk, and what a student who did the work can say."""

    question: str
    expect: str


def viva(
    evidence: Evidence, result: dict[str, Any], files: Path, rng: random.Random
) -> list[VivaQuestion]:
    """Three questions from this attempt alone: about its YAML, its traffic, its verdict."""
    return [
        *_about_lines(files, rng)[:1],
        *_about_traffic(evidence, rng)[:1],
        *_about_checks(result, rng)[:1],
    ]


_TELLING = re.compile(
    r"(?<![\w-])(weight|subset|percent|percentage|value|fixedDelay|httpStatus|attempts|perTryTimeout|timeout"
    r"|simple|version|host|mode|consecutive\w*|interval|baseEjectionTime|max\w+|number)\s*:\s*(\S.*)"
)


def _about_lines(files: Path, rng: random.Random) -> list[VivaQuestion]:
    found = []
    for path in sorted(files.glob("*.yaml")):
        if path.name == ANSWERS:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            match = _TELLING.search(line)
            if match and not line.lstrip().startswith("#"):
                found.append((path.name, number, match[1], match[2]))
    rng.shuffle(found)
    return [
        VivaQuestion(
            f"Line {number} of your {name} says `{key}: {value}`. What would the traffic have "
            "done without this line, and where would you have seen it?",
            f"Names what `{key}` does, that the rest of the file goes on working or not, and a "
            "place to see it: access log, proxy-config, the split.",
        )
        for name, number, key, value in found
    ]


def _about_traffic(evidence: Evidence, rng: random.Random) -> list[VivaQuestion]:
    probes = sorted({item.probe for item in evidence.observations})
    found = []
    for probe in probes:
        several = groups(evidence, probe)
        if len(several) < 2:
            continue
        one = several[-1].requests[0]
        stations = way(evidence, one.request_id)
        found.append(
            VivaQuestion(
                f"In the stretch `{probe}` request {one.request_id} was answered {several[-1].what}, "
                f"{len(several[-1].requests)} of {len(evidence.probe(probe))} were. Which sidecar "
                "decided that, and by which object?",
                "The way of the request: " + ("; ".join(stations) or "not recorded"),
            )
        )
    rng.shuffle(found)
    return found or [_about_one(evidence, rng)]


def _about_one(evidence: Evidence, rng: random.Random) -> VivaQuestion:
    if not evidence.observations:
        return VivaQuestion(
            "Your files did not load, so there was no traffic. What does the first problem say, "
            "and how would you have found it before handing in?",
            "meshctl validate, meshctl analyze, or the first line of make lab-N.",
        )
    one = rng.choice(evidence.observations)
    return VivaQuestion(
        f"Request {one.request_id} took {one.seconds * 1000:.0f} ms. Which sidecars did it pass, and "
        "what did each of them decide?",
        "The way of the request: " + "; ".join(way(evidence, one.request_id)),
    )


def sentence(text: str) -> str:
    """A text with a full stop, so that another sentence can follow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _about_checks(result: dict[str, Any], rng: random.Random) -> list[VivaQuestion]:
    lost = [item for item in result["checks"] if item["verdict"] == "fail"]
    told: Sequence[dict[str, Any]] = lost or [i for i in result["checks"] if i["evidence"]]
    if not told:
        return []
    item = rng.choice(list(told))
    if lost and item["name"] in {each["name"] for each in result.get("answers", ())}:
        return [
            VivaQuestion(
                f"This answer was wrong: {sentence(item['description'])} Where in what the run recorded would "
                "you look now, and what would you have to read there?",
                f"{item['rationale']} {item['help']}",
            )
        ]
    if lost:
        return [
            VivaQuestion(
                f"The check {item['name']} was lost: {sentence(item['rationale'])} What would you change, and "
                "which measurement would tell you that it is right now?",
                f"Hint of the lab: {item['help']}",
            )
        ]
    return [
        VivaQuestion(
            f"The check {item['name']} rests on: {item['evidence']}. Why that many requests, and how "
            "sure is the verdict?",
            "A right answer fails once in a million, a wrong one passes once in a thousand; fewer "
            "requests could not tell the two apart.",
        )
    ]
