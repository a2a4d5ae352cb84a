"""Rounds: several things measured in turn, so that what the machine does meanwhile falls on all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

from rich.table import Table

Figures = dict[str, float]


def medians(rounds: list[Figures]) -> Figures:
    """The median of each figure over the rounds."""
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


def interleaved(measures: Mapping[str, Callable[[], Figures]], rounds: int) -> dict[str, Figures]:
    """Run all measures in turn, ``rounds`` times, and return their medians."""
    seen: dict[str, list[Figures]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            seen[name].append(measure())
    return {name: medians(each) for name, each in seen.items()}


def table(title: str, rows: dict[str, Figures]) -> Table:
    """The figures as a table: a row a variant, a column a figure."""
    result = Table(title=title, title_justify="left")
    result.add_column("")
    columns = list(dict.fromkeys(column for figures in rows.values() for column in figures))
    for column in columns:
        result.add_column(column, justify="right")
    for name, figures in rows.items():
        cells = (f"{figures[column]:.4g}" if column in figures else "" for column in columns)
        result.add_row(name, *cells)
    return result
