"""Percentiles of durations in bounded memory: counts by value, rounded to two digits.

A duration of 1234 ms is counted as 1200: an error below 5 %, and fewer than a thousand different
values however many requests there are.
"""

from __future__ import annotations

from collections.abc import Mapping


def bucket(milliseconds: int) -> int:
    """Round down to two significant digits, from 100 ms on."""
    step = 1
    while milliseconds >= 100 * step:
        step *= 10
    return milliseconds // step * step


def percentile(counts: Mapping[int, int], share: float) -> float:
    """Return the smallest value that at least ``share`` (0 to 1) of the counted ones do not exceed.

    0.0 when nothing was counted.
    """
    wanted = share * sum(counts.values())
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return float(value)
    return 0.0
