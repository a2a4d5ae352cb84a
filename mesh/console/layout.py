"""The page's parts: header with views, and one section a view.

Everything is an ordinary button, table or text field, so keyboard and screen reader work; what a
change did is said in a live region.
"""

from __future__ import annotations

from typing import Any

import dash_cytoscape as cyto
from dash import dcc, html

from mesh.console.page_source import PageSource

VIEWS = {
    "graph": "Graph",
    "requests": "Requests",
    "metrics": "Metrics",
    "config": "Configuration",
    "chaos": "Chaos",
    "lab": "Lab",
}
WINDOWS = {"10 s": 10, "1 min": 60, "10 min": 600, "all": 0}
STYLESHEET: list[dict[str, Any]] = [
    {
        "selector": "node",
        "style": {
            "label": "data(label)",
            "shape": "round-rectangle",
            "width": 185,
            "height": 44,
            "background-color": "#3d6fb4",
            "color": "#ffffff",
            "text-valign": "center",
            "font-size": 15,
        },
    },
    {"selector": ".gateway", "style": {"background-color": "#5b4b8a"}},
    {"selector": ".outside", "style": {"background-color": "#5f6b78"}},
    {"selector": ".service", "style": {"background-color": "#8a5a3b"}},
    {
        "selector": "edge",
        "style": {
            "label": "data(label)",
            "width": "data(width)",
            "curve-style": "bezier",
            "target-arrow-shape": "triangle",
            "line-color": "#2f7d4f",
            "target-arrow-color": "#2f7d4f",
            "font-size": 13,
            "color": "#1b1f24",
            "text-background-color": "#ffffff",
            "text-background-opacity": 0.85,
            "text-background-padding": 2,
        },
    },
    {"selector": ".mirror", "style": {"line-style": "dashed", "line-color": "#5f6b78"}},
    {
        "selector": ".errors",
        "style": {"line-color": "#b07d1a", "target-arrow-color": "#b07d1a"},
    },
    {
        "selector": ".failing",
        "style": {"line-color": "#b3261e", "target-arrow-color": "#b3261e"},
    },
]


def page(source: PageSource, labs: list[int]) -> html.Div:
    """Return the whole page."""
    first = source.scene.view if source.scene else "graph"
    return html.Div(
        [
            dcc.Interval(id="tick", interval=1000),
            dcc.Store(id="view", data=first),
            dcc.Store(id="typed", data=""),
            dcc.Store(id="theme", data={"dark": False, "hall": False}),
            html.Header(
                [
                    html.H1(f"Mesh lab console: {source.title}"),
                    html.Nav(
                        [html.Button(text, id=f"to-{name}") for name, text in VIEWS.items()],
                        **{"aria-label": "Views"},
                    ),
                    html.Button("Light or dark", id="dark"),
                    html.Button("Lecture hall", id="hall"),
                ]
            ),
            html.Main(
                [
                    _scene(source),
                    html.Div(id="said", className="said", role="status", **{"aria-live": "polite"}),
                    _graph(),
                    _requests(),
                    _metrics(),
                    _config(),
                    _chaos(source.services, source.pods),
                    _lab(labs),
                ]
            ),
        ]
    )


def _scene(source: PageSource) -> html.Section:
    """What is shown, what to do, and the way back; hidden for a mesh of one's own."""
    scene = source.scene
    parts: list[Any] = []
    if scene is not None:
        parts = [
            html.H2(f"Scene {scene.number}: {scene.title}", id="scene-title"),
            html.P(scene.look),
            html.P([html.Strong("Try: "), scene.hint]),
        ]
    if source.replayed:
        parts.append(html.P(source.replayed, id="replayed", className="error"))
    button = html.Button("Reset the scene", id="reset")
    return html.Section(
        [*parts, button], id="scene", hidden=scene is None, **{"aria-label": "Scene"}
    )


def _section(name: str, *children: Any) -> html.Section:
    return html.Section(
        list(children), id=f"section-{name}", hidden=name != "graph", **{"aria-label": VIEWS[name]}
    )


def _graph() -> html.Section:
    return _section(
        "graph",
        dcc.RadioItems(
            id="window",
            options=[{"label": f" {text} ", "value": value} for text, value in WINDOWS.items()],
            value=60,
            inline=True,
        ),
        cyto.Cytoscape(
            id="cytoscape",
            elements=[],
            layout={"name": "preset", "fit": True, "padding": 40},
            stylesheet=STYLESHEET,
            style={"width": "100%", "height": "420px"},
            userZoomingEnabled=False,
        ),
        html.Div(id="edges"),
    )


def _requests() -> html.Section:
    return _section(
        "requests",
        html.Div(
            [
                html.Label("Path ", htmlFor="path"),
                dcc.Input(
                    id="path",
                    value="/customer",
                    type="text",
                    debounce=True,
                    style={"width": "18em"},
                ),
                html.Label(" Headers (name: value, one a line) ", htmlFor="headers"),
                dcc.Textarea(id="headers", value="", rows=2, style={"width": "22em"}),
                html.Button("Send", id="send"),
            ]
        ),
        html.Pre(id="answer"),
        html.Label("Explain the request with id ", htmlFor="request-id"),
        dcc.Input(id="request-id", value="", type="text", debounce=True, style={"width": "24em"}),
        dcc.Graph(id="waterfall", config={"displayModeBar": False}),
        html.Pre(id="explanation"),
        html.H2("Newest requests at the gateway"),
        html.Div(id="newest"),
        html.H2("mitmproxy's own view of a sidecar's requests"),
        html.Div(id="viewable"),
        html.Div(id="flow-view", role="status", **{"aria-live": "polite"}),
    )


def _metrics() -> html.Section:
    figures = [
        dcc.Graph(id=f"metric-{name}", config={"displayModeBar": False})
        for name in ("rate", "errors", "p99")
    ]
    return _section("metrics", *figures)


def _config() -> html.Section:
    return _section(
        "config",
        html.Label("Applied: ", htmlFor="resource"),
        dcc.Dropdown(id="resource", options=[], clearable=True, style={"maxWidth": "40em"}),
        html.Div(
            [
                html.Div(
                    [
                        html.Label("Istio YAML", htmlFor="yaml"),
                        dcc.Textarea(id="yaml", value="", rows=24, spellCheck=False),
                        html.Button("Apply", id="apply"),
                        html.Button("Remove the chosen resource", id="remove"),
                    ]
                ),
                html.Div(id="problems", className="problems"),
            ],
            className="columns",
        ),
    )


def _chaos(services: list[str], pods: list[str]) -> html.Section:
    return _section(
        "chaos",
        html.H2("Faults"),
        html.Label("Service ", htmlFor="service"),
        dcc.Dropdown(services, services[-1] if services else None, id="service", clearable=False),
        html.Button("7 s delay on 50 %", id="fault-delay"),
        html.Button("503 on 50 %", id="fault-abort"),
        html.Button("Heal", id="heal"),
        html.H2("Pods"),
        html.Label("Pod ", htmlFor="pod"),
        dcc.Dropdown(pods, pods[-1] if pods else None, id="pod", clearable=False),
        html.Button("Kill the pod", id="kill"),
    )


def _lab(labs: list[int]) -> html.Section:
    return _section(
        "lab",
        html.Label("Lab ", htmlFor="lab"),
        dcc.Dropdown(labs, labs[0] if labs else None, id="lab", clearable=False),
        html.Div(id="task"),
    )
