"""The figures of the notebooks: pure functions of what was seen, each with its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from grader.evidence.walk import Walk
from mesh.console.graph_view import edge_label, label, positions
from mesh.mixer.graph import Graph
from mesh.notebook.traffic import Seen, counted, told

COLOURS = {"v1": "#2b6cb0", "v2": "#dd6b20", "200": "#2f855a", "no answer": "#1a202c"}
BAD = "#c53030"
Drawn = tuple[go.Figure, str]
"""A figure and what it says in a sentence."""


def colour(kind: str) -> str:
    """The same colour for the same kind in every notebook."""
    return COLOURS.get(kind, BAD)


def _figure(title: str, height: int = 320) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="plotly_white",
        title=title,
        height=height,
        margin={"l": 50, "r": 20, "t": 50, "b": 40},
        font={"size": 15},
    )
    return figure


def versions(seen: Sequence[Seen], title: str = "Who answered") -> Drawn:
    """A bar for each version or status."""
    counts = counted(seen)
    figure = _figure(title, 90 + 45 * max(len(counts), 1))
    names = list(counts)
    figure.add_bar(
        y=names,
        x=[counts[name] for name in names],
        orientation="h",
        marker_color=[colour(name) for name in names],
        text=[f"{counts[name]} ({100 * counts[name] / len(seen):.0f} %)" for name in names],
    )
    return figure, told(seen)


def timeline(seen: Sequence[Seen], title: str = "Each request, and how long it took") -> Drawn:
    """A dot for each request: in the order of sending, by its time, in the colour of its kind."""
    figure = _figure(title)
    for kind in counted(seen):
        some = [each for each in seen if each.kind == kind]
        figure.add_scatter(
            x=[each.number for each in some],
            y=[each.milliseconds for each in some],
            mode="markers",
            name=kind,
            marker={"color": colour(kind), "size": 8},
        )
    figure.update_layout(xaxis_title="request", yaxis_title="ms", showlegend=True)
    slowest = max((each.milliseconds for each in seen), default=0.0)
    return figure, f"{told(seen)}; the slowest took {slowest:.0f} ms"


def bars(values: Mapping[str, float], title: str, unit: str) -> Drawn:
    """A bar for each name."""
    figure = _figure(title, 110 + 42 * max(len(values), 1))
    figure.add_bar(
        y=list(values),
        x=list(values.values()),
        orientation="h",
        text=[f"{value:.4g} {unit}" for value in values.values()],
    )
    figure.update_yaxes(autorange="reversed", automargin=True)
    said = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    return figure, f"{title}: {said} {unit}"


def lines(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    title: str,
    x_title: str,
    y_title: str,
) -> Drawn:
    """A curve for each name over ``x``."""
    figure = _figure(title, 380)
    for name, values in curves.items():
        figure.add_scatter(x=list(x), y=list(values), mode="lines", name=name)
    figure.update_layout(xaxis_title=x_title, yaxis_title=y_title, showlegend=True)
    return figure, f"{title}: {', '.join(curves)}"


def service_graph(graph: Graph, title: str = "Who calls whom") -> Drawn:
    """The service graph, as the console draws it; a failing edge is red, a mirrored one dotted."""
    places = positions(graph)
    names = {each.id: label(each) for each in graph.nodes}
    figure = _figure(title, 420)
    for edge in graph.edges:
        begin, end = places[edge.source], places[edge.destination]
        figure.add_scatter(
            x=[begin["x"], end["x"]],
            y=[-begin["y"], -end["y"]],
            mode="lines",
            line={
                "color": BAD if edge.error_rate >= 0.05 else "#a0aec0",
                "width": 2 + 5 * edge.share,
                "dash": "dot" if edge.mirrored else "solid",
            },
            hoverinfo="skip",
        )
        figure.add_annotation(
            x=(begin["x"] + end["x"]) / 2,
            y=-(begin["y"] + end["y"]) / 2,
            text=edge_label(edge),
            showarrow=False,
            bgcolor="white",
            font={"size": 12},
        )
    figure.add_scatter(
        x=[places[each.id]["x"] for each in graph.nodes],
        y=[-places[each.id]["y"] for each in graph.nodes],
        mode="markers+text",
        marker={"size": 26, "color": "#2b6cb0"},
        text=[names[each.id] for each in graph.nodes],
        textposition="bottom center",
    )
    figure.update_layout(showlegend=False)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    said = "; ".join(
        f"{names[each.source]} -> {names[each.destination]} {edge_label(each)}"
        for each in graph.edges
    )
    return figure, f"{title}: {said}"


def walk(record: Walk, title: str) -> Drawn:
    """A sequential test's way to its boundary: a line for each alternative, above is "wrong"."""
    figure = _figure(title, 380)
    points = list(record.points())
    for at, share in enumerate(record.test.alternatives):
        figure.add_scatter(
            x=[0, *(trials for trials, _ in points)],
            y=[0.0, *(walks[at] for _, walks in points)],
            mode="lines+markers",
            name=f"rather {share:.0%} than {record.test.p0:.0%}?",
        )
    figure.add_hline(y=record.test.upper, line_color=BAD, annotation_text="the share is wrong")
    figure.add_hline(y=record.test.lower, line_color="#2f855a", annotation_text="ruled out")
    figure.update_layout(
        xaxis_title="requests", yaxis_title="log likelihood ratio", showlegend=True
    )
    trials, hits = record.used
    return figure, f"{title}: {record.decision} after {trials} requests, {hits} of them hits"
