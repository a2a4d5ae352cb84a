"""The lab's task and its newest score, as ``make lab-N`` left them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dash import html

from grader.lab import LabError, find_lab


def lab(number: int, runs: Path) -> html.Div:
    """Return the task and the checks of the newest run; what is not there is said."""
    try:
        found = find_lab(number)
    except LabError as problem:
        return html.Div(html.P(str(problem), className="error"))
    return html.Div(
        [
            html.H2(f"{found.number}. {found.title}"),
            html.P(found.task, style={"whiteSpace": "pre-line"}),
            *_score(number, runs),
        ]
    )


def _score(number: int, runs: Path) -> list[Any]:
    path = runs / f"lab-{number:02}" / "latest" / "result.json"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [html.P(f"No run yet: make lab-{number} runs it.")]
    rows = [
        html.Tr(
            [
                html.Td(str(each.get(name, "")))
                for name in ("description", "verdict", "points", "rationale")
            ]
        )
        for each in result.get("checks", [])
    ]
    head = html.Tr([html.Th(text, scope="col") for text in ("check", "verdict", "points", "why")])
    return [
        html.P(f"Newest run: {result.get('score')}/{result.get('max_score')}", id="score"),
        html.Table([html.Caption("Checks"), html.Thead(head), html.Tbody(rows)]),
    ]
