"""Trial: the same requests before and after a change, on a running mesh of each engine.

What a dry run cannot know (retries, faults, ejections, an application's answer) a trial shows.
Each request is sent several times; what counts is which answers occur and how often.  Two shares
are called different when chance alone would part them so less than once in 1,000 times
(two-sided test of two proportions), so a 90/10 split does not look changed by luck.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mesh.accesslog import new_request_id
from mesh.testbed.base import Document, Testbed
from mesh.testbed.client import NoAnswerError
from mesh.workbench.questions import Question

Z = 3.29
"""Standard normal quantile of a two-sided error of 1e-3."""
NO_SERVER = "no pod"
Seen = dict[Question, Counter[str]]
"""How often a request was answered in which way: ``200 reviews-v2``."""
Starter = Callable[[str], Testbed]


@dataclass(frozen=True, slots=True)
class Difference:
    """A request that is answered otherwise after the change, on one engine."""

    question: Question
    engine: str
    before: Mapping[str, int]
    after: Mapping[str, int]


def run(
    start: Starter,
    engines: Iterable[str],
    old: list[Document],
    new: list[Document],
    questions: list[Question],
    times: int,
) -> tuple[dict[str, tuple[Seen, Seen]], list[Difference]]:
    """Ask on each engine under both configurations; return all that was seen and what differs."""
    seen: dict[str, tuple[Seen, Seen]] = {}
    differences = []
    for engine in engines:
        with start(engine) as bed:
            before = ask(bed, old, questions, times)
            after = ask(bed, new, questions, times)
        seen[engine] = before, after
        differences += [
            Difference(each, engine, before[each], after[each])
            for each in questions
            if differ(before[each], after[each])
        ]
    return seen, differences


def ask(bed: Testbed, config: list[Document], questions: list[Question], times: int) -> Seen:
    """Send every request so often under a configuration, which is the whole one."""
    _replace(bed, config)
    sources = {each.workload: each.name for each in bed.pods()}
    ids: dict[str, tuple[Question, int]] = {}
    for question in questions:
        for _ in range(times):
            name = new_request_id()
            ids[name] = question, _status(bed, question, name, sources)
    workloads = {each.name: each.workload for each in bed.pods()}
    served: dict[str, list[str]] = {}
    for record in bed.access_log():
        copy = record.authority.partition(":")[0].endswith("-shadow")
        if record.direction == "inbound" and record.request_id in ids and not copy:
            served.setdefault(record.request_id, []).append(workloads.get(record.pod, record.pod))
    seen: Seen = {each: Counter() for each in questions}
    for name, (question, status) in ids.items():
        where = " + ".join(sorted(set(served.get(name, ())))) or NO_SERVER
        seen[question][f"{status} {where}"] += 1
    return seen


def _status(bed: Testbed, question: Question, name: str, sources: Mapping[str, str]) -> int:
    """Send a request once; 0 when no answer came, as at a gateway that listens to nothing."""
    try:
        return bed.request(
            question.url,
            from_pod=sources.get(question.source, question.source) or None,
            method=question.method,
            headers={**dict(question.headers), "x-request-id": name},
        ).status
    except NoAnswerError:
        return 0


def _replace(bed: Testbed, config: list[Document]) -> None:
    """Make a configuration the whole one, and wait until it is in force."""
    bed.apply([])
    if config:
        bed.apply(config)


def differ(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """True when two counts of answers are not of one kind: a new answer, or another share."""
    first, second = sum(one.values()), sum(other.values())
    if not first or not second:
        return bool(first) != bool(second)
    for answer in {*one, *other}:
        a, b = one.get(answer, 0) / first, other.get(answer, 0) / second
        together = (one.get(answer, 0) + other.get(answer, 0)) / (first + second)
        spread = math.sqrt(together * (1 - together) * (1 / first + 1 / second))
        if abs(a - b) > Z * spread:
            return True
    return False
