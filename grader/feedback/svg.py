"""Plots as inline SVG: no script, no address, and a text that says the same.

Each plot has a ``title`` and a ``desc`` for readers of the page who do not see it, and the page
repeats the description as a paragraph.  Colours differ in lightness too, lines in their dashes.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from grader.evidence.fixed import log_pmf, region
from grader.evidence.walk import Walk
from grader.load.observation import Observation

WIDTH, HEIGHT = 560, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 34
INK, GOOD, BAD, SOFT = "#222222", "#1b6e53", "#b3401d", "#c9d6e2"
DASHES = ("", "6 3", "2 3", "8 3 2 3")


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture and the text that says the same."""

    title: str
    text: str
    svg: str


@dataclass(frozen=True, slots=True)
class Axes:
    """Data ranges mapped to the picture."""

    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        """A value's place from the left."""
        return LEFT + (value - self.x0) / ((self.x1 - self.x0) or 1) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """A value's place from the top."""
        share = (value - self.y0) / ((self.y1 - self.y0) or 1)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def frame(self, label: str, ticks: Sequence[float], form: str = "{:g}") -> list[str]:
        """The line at the bottom, its ticks and its label."""
        floor = HEIGHT - BOTTOM
        parts = [f'<path d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}" fill="none" stroke="{INK}"/>']
        for tick in ticks:
            place = self.x(tick)
            parts.append(f'<path d="M{place:.1f} {floor}v4" stroke="{INK}"/>')
            parts.append(_text(place, floor + 15, form.format(tick)))
        parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 4, label))
        return parts


def _text(x: float, y: float, text: str, anchor: str = "middle", colour: str = INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{html.escape(text)}</text>"
    )


def _svg(title: str, text: str, parts: Sequence[str]) -> Plot:
    body = "".join(parts)
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="11"><title>{html.escape(title)}</title>'
        f"<desc>{html.escape(text)}</desc>{body}</svg>"
    )
    return Plot(title, text, svg)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between ``low`` and ``high``."""
    span = high - low
    if span <= 0:
        return [low]
    step = 10 ** math.floor(math.log10(span / count))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= count)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def distribution(walk: Walk) -> Plot:
    """What a right answer brings in so many requests, and what was counted."""
    trials, hits = walk.used
    test = walk.test
    low, high = region(max(trials, 1), test.p0, test.alpha)
    spread = 6 * math.sqrt(trials * test.p0 * (1 - test.p0)) + 1
    first = max(0, min(int(trials * test.p0 - spread), hits))
    last = min(trials, max(int(trials * test.p0 + spread), hits))
    chances = {k: math.exp(log_pmf(k, trials, test.p0)) for k in range(first, last + 1)}
    axes = Axes(first - 0.5, last + 0.5, 0.0, max(chances.values()) * 1.1)
    width = max(0.6, 0.8 * (axes.x(1) - axes.x(0)))
    parts = []
    for count, chance in chances.items():
        colour = GOOD if low <= count <= high else SOFT
        top = axes.y(chance)
        parts.append(
            f'<rect x="{axes.x(count) - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{axes.y(0) - top:.1f}" fill="{colour}"/>'
        )
    mark = axes.x(hits)
    parts.append(f'<path d="M{mark:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{BAD}" stroke-width="2"/>')
    side = "start" if mark < WIDTH / 2 else "end"
    parts.append(
        _text(mark + (4 if side == "start" else -4), TOP + 10, f"yours: {hits}", side, BAD)
    )
    parts += axes.frame(f"requests {walk.what}, of {trials}", ticks(first, last))
    inside = "inside" if low <= hits <= high else "outside"
    text = (
        f"With a share of {test.p0:.0%}, {trials} requests bring {low} to {high} that were "
        f"{walk.what} (but for {test.alpha:g} of all runs). {hits} were counted, {inside} that range."
    )
    return _svg("The count beside what a right answer brings", text, parts)


def path(walk: Walk) -> Plot:
    """The test's way to its boundary, a line for each wrong share."""
    test = walk.test
    points = list(walk.points())
    floor, roof = 1.3 * test.lower, 1.2 * test.upper
    end = max((trials for trials, _ in points), default=test.batch)
    axes = Axes(0, end, floor, roof)
    parts = []
    for value, colour, label in (
        (test.upper, BAD, "above: the wrong share explains it better, fail"),
        (test.lower, GOOD, "all below: no wrong share explains it, pass"),
    ):
        place = axes.y(value)
        parts.append(
            f'<path d="M{LEFT} {place:.1f}H{WIDTH - RIGHT}" stroke="{colour}" stroke-dasharray="4 4"/>'
        )
        parts.append(_text(WIDTH - RIGHT, place - 4, label, "end", colour))
    told = []
    for number, share in enumerate(test.alternatives):
        line = [(0, 0.0), *((trials, walks[number]) for trials, walks in points)]
        places = " ".join(
            f"{axes.x(trials):.1f},{axes.y(max(floor, min(roof, value))):.1f}"
            for trials, value in line
        )
        dash = DASHES[number % len(DASHES)]
        parts.append(
            f'<polyline points="{places}" fill="none" stroke="{INK}" stroke-width="1.5" '
            f'stroke-dasharray="{dash}"/>'
        )
        last = line[-1][1]
        parts.append(
            _text(axes.x(end) - 4, axes.y(max(floor, min(roof, last))) + 12, f"{share:.0%}", "end")
        )
        told.append(f"against {share:.0%} the walk ends at {last:.1f}")
    parts += axes.frame("requests", ticks(0, end))
    trials, _ = walk.used
    text = (
        f"After {trials} requests the test decides {walk.decision}: {'; '.join(told)}. Above "
        f"{test.upper:.1f} a wrong share explains what was seen; when all are below {test.lower:.1f} "
        "none does."
    )
    return _svg("The test's path to its boundary", text, parts)


def latencies(probe: str, seen: Sequence[Observation]) -> Plot | None:
    """How long the requests of a probe took; None without an answered one."""
    times = sorted(item.seconds * 1000 for item in seen if not item.error)
    if not times:
        return None
    top = times[-1] * 1.02 + 0.1
    bins = 40
    counts = [0] * bins
    for value in times:
        counts[min(bins - 1, int(value / top * bins))] += 1
    axes = Axes(0, top, 0, max(counts) * 1.1)
    width = axes.x(top / bins) - axes.x(0)
    parts = [
        f'<rect x="{axes.x(number * top / bins):.1f}" y="{axes.y(count):.1f}" '
        f'width="{max(width - 1, 0.5):.1f}" height="{axes.y(0) - axes.y(count):.1f}" fill="{GOOD}"/>'
        for number, count in enumerate(counts)
        if count
    ]
    parts += axes.frame("milliseconds", ticks(0, top))

    def at(share: float) -> float:
        return times[min(len(times) - 1, int(share * len(times)))]

    text = (
        f"{len(times)} answered requests took {times[0]:.0f} to {times[-1]:.0f} ms: half of them up "
        f"to {at(0.5):.0f} ms, nine of ten up to {at(0.9):.0f} ms, all but one in a hundred up to "
        f"{at(0.99):.0f} ms."
    )
    return _svg(f"Response times of the stretch {probe}", text, parts)
