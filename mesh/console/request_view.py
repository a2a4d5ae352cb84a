"""One request as a waterfall: a bar for each sidecar that had it, and what each decided.

Bars begin where the sidecar began and are as long as it had the request; the text beside is the
record that ``meshctl explain`` prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import plotly.graph_objects as go

Hop = dict[str, Any]
_GOOD, _BAD = "#2f7d4f", "#b3261e"


def waterfall(hops: Sequence[Hop], *, dark: bool) -> go.Figure:
    """Return the bars, the first hop on top; times are milliseconds after the first."""
    names = [f"{number}. {hop['pod']} {hop['direction']}" for number, hop in enumerate(hops, 1)]
    starts = [_time(str(hop["start_time"])) for hop in hops]
    first = min(starts, default=0.0)
    good = [200 <= int(hop["response_code"]) < 500 for hop in hops]
    figure = go.Figure(
        go.Bar(
            y=names,
            base=[(each - first) * 1000 for each in starts],
            x=[max(float(hop["duration_ms"]), 0.2) for hop in hops],
            orientation="h",
            marker_color=[_GOOD if each else _BAD for each in good],
            text=[_text(hop) for hop in hops],
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    figure.update_layout(
        template="plotly_dark" if dark else "plotly_white",
        height=90 + 42 * len(hops),
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        xaxis_title="milliseconds after the first sidecar had it",
        yaxis={"autorange": "reversed", "automargin": True},
        showlegend=False,
    )
    return figure


def _text(hop: Hop) -> str:
    flags = "" if hop["response_flags"] in ("", "-") else f" {hop['response_flags']}"
    return f"{hop['response_code']}{flags}, {float(hop['duration_ms']):g} ms"


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
