"""History: the figures of the last minutes, a sample a second, the oldest go first."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import plotly.graph_objects as go

from mesh.console.graph_view import label
from mesh.mixer.graph import Graph

SAMPLES = 600
WINDOW = 10.0
"""Seconds over which each sample's rate and latency are taken."""


@dataclass(frozen=True, slots=True)
class Sample:
    """``moment`` (Unix time), and for each call its rate a second, error rate and p99 in ms."""

    moment: float
    calls: dict[str, tuple[float, float, float]]


@dataclass(slots=True)
class History:
    """Samples in order; at most ``SAMPLES``."""

    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def add(self, moment: float, graph: Graph) -> None:
        """Take the figures of the last ``WINDOW`` seconds; a call twice in one second counts once."""
        if self.samples and moment - self.samples[-1].moment < 0.5:
            return
        names = {each.id: label(each) for each in graph.nodes}
        calls = {
            f"{names[each.source]} → {names[each.destination]}": (
                each.rate,
                each.error_rate,
                each.p99,
            )
            for each in graph.edges
            if not each.mirrored
        }
        self.samples.append(Sample(moment, calls))

    def figure(self, which: int, title: str, *, dark: bool) -> go.Figure:
        """Return one line for each call: ``which`` is 0 for rate, 1 errors, 2 for p99."""
        names = sorted({name for each in self.samples for name in each.calls})
        last = self.samples[-1].moment if self.samples else 0.0
        figure = go.Figure(
            [
                go.Scatter(
                    x=[each.moment - last for each in self.samples],
                    y=[each.calls.get(name, (0.0, 0.0, 0.0))[which] for each in self.samples],
                    name=name,
                    mode="lines",
                )
                for name in names
            ]
        )
        figure.update_layout(
            template="plotly_dark" if dark else "plotly_white",
            title=title,
            height=260,
            margin={"l": 40, "r": 10, "t": 40, "b": 30},
            xaxis_title="seconds",
        )
        return figure
