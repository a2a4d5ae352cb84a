"""What happens on the page: each callback reads the mesh by ``Source`` and returns components."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, html, no_update
from dash.exceptions import PreventUpdate

from mesh.console import graph_view
from mesh.console.lab_view import lab
from mesh.console.layout import VIEWS
from mesh.console.page_source import PageSource, SourceError
from mesh.console.request_view import waterfall
from mesh.workbench.explain_text import lines_of_hops

# The page itself is not redrawn for these; they only set classes, so they run in the browser.
_THEME = """function(dark, hall, theme) {
    const now = Object.assign({}, theme);
    const who = dash_clientside.callback_context.triggered.map(each => each.prop_id)[0];
    if (who === 'dark.n_clicks') now.dark = !now.dark;
    if (who === 'hall.n_clicks') now.hall = !now.hall;
    document.body.classList.toggle('dark', now.dark);
    document.body.classList.toggle('hall', now.hall);
    return now;
}"""

# Each letter typed would otherwise be a whole analysis on the server; it waits for a pause.
_TYPED = """(() => {
    let timer, leave = () => {};
    return text => {
        clearTimeout(timer);
        leave(dash_clientside.no_update);
        return new Promise(done => {
            leave = done;
            timer = setTimeout(() => done(text), 200);
        });
    };
})()"""


FLOW_VIEW = "flow-view"
"""Type of the buttons that open mitmproxy's view of a sidecar."""


def register(app: Dash, source: PageSource, runs: Path) -> None:
    """Wire the page to a mesh."""
    app.clientside_callback(
        _THEME,
        Output("theme", "data"),
        Input("dark", "n_clicks"),
        Input("hall", "n_clicks"),
        State("theme", "data"),
    )
    _views(app, source.scene.view if source.scene else "graph")
    _graph(app, source)
    _requests(app, source)
    _metrics(app, source)
    _config(app, source)
    _changes(app, source)
    _flow_views(app, source)

    @app.callback(Output("task", "children"), Input("lab", "value"), Input("view", "data"))
    def show_lab(number: int | None, _: str) -> Any:
        return lab(number, runs) if number is not None else html.P("There is no lab.")


def _views(app: Dash, first: str) -> None:
    @app.callback(
        Output("view", "data"),
        *(Output(f"section-{name}", "hidden") for name in VIEWS),
        *(Output(f"to-{name}", "aria-current") for name in VIEWS),
        *(Input(f"to-{name}", "n_clicks") for name in VIEWS),
    )
    def choose(*_: int | None) -> list[Any]:
        chosen = str(ctx.triggered_id or f"to-{first}").removeprefix("to-")
        hidden = [name != chosen for name in VIEWS]
        current = ["page" if name == chosen else "false" for name in VIEWS]
        return [chosen, *hidden, *current]


def _only(view: str, shown: str) -> None:
    """Leave a view alone that nobody sees."""
    if view != shown:
        raise PreventUpdate


def _graph(app: Dash, source: PageSource) -> None:
    @app.callback(
        Output("cytoscape", "elements"),
        Output("edges", "children"),
        Input("tick", "n_intervals"),
        Input("window", "value"),
        Input("view", "data"),
    )
    def show(_: int, seconds: int, view: str) -> tuple[Any, Any]:
        _only(view, "graph")
        try:
            found = source.graph(seconds)
        except SourceError as problem:
            return no_update, html.P(str(problem), className="error")
        table = html.Table(
            [
                html.Caption("Calls of this time"),
                html.Thead(html.Tr([html.Th(each, scope="col") for each in graph_view.COLUMNS])),
                html.Tbody(
                    [html.Tr([html.Td(cell) for cell in row]) for row in graph_view.rows(found)]
                ),
            ]
        )
        return graph_view.elements(found), [table, html.P(graph_view.note(found), className="note")]


def _requests(app: Dash, source: PageSource) -> None:
    @app.callback(
        Output("answer", "children"),
        Output("request-id", "value"),
        Input("send", "n_clicks"),
        State("path", "value"),
        State("headers", "value"),
        prevent_initial_call=True,
    )
    def send(_: int, path: str, headers: str) -> tuple[str, Any]:
        try:
            status, body, name = source.send(path or "/", _headers(headers or ""))
        except (SourceError, ValueError) as problem:
            return str(problem), no_update
        return f"{status}\n{body}", name

    @app.callback(Output("newest", "children"), Input("tick", "n_intervals"), Input("view", "data"))
    def newest(_: int, view: str) -> Any:
        _only(view, "requests")
        rows = [
            html.Tr(
                [
                    html.Td(str(each))
                    for each in (
                        record.start_time,
                        record.method,
                        record.path,
                        record.response_code,
                        record.response_flags,
                        f"{record.duration} ms",
                        record.request_id,
                    )
                ]
            )
            for record in source.newest()
        ]
        names = ("began", "method", "path", "status", "flags", "took", "id")
        head = html.Tr([html.Th(each, scope="col") for each in names])
        return html.Table([html.Thead(head), html.Tbody(rows)])

    @app.callback(
        Output("waterfall", "figure"),
        Output("explanation", "children"),
        Input("request-id", "value"),
        Input("theme", "data"),
    )
    def explain(name: str, theme: dict[str, bool]) -> tuple[Any, str]:
        dark = bool((theme or {}).get("dark"))
        if not name:
            return waterfall([], dark=dark), ""
        try:
            hops = source.hops(name.strip())
        except SourceError as problem:
            return waterfall([], dark=dark), str(problem)
        if not hops:
            return waterfall([], dark=dark), f"no sidecar knows a request {name!r}"
        told = {"request_id": name, "engine": source.engine, "hops": hops}
        return waterfall(hops, dark=dark), "\n".join(lines_of_hops(told))


def _headers(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        if line.strip():
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise ValueError(f"{line!r} is no header: write NAME: VALUE")
            found[name.strip()] = value.strip()
    return found


def _metrics(app: Dash, source: PageSource) -> None:
    titles = ("Requests a second", "Share of errors", "p99 latency in ms")

    @app.callback(
        Output("metric-rate", "figure"),
        Output("metric-errors", "figure"),
        Output("metric-p99", "figure"),
        Input("tick", "n_intervals"),
        Input("view", "data"),
        Input("theme", "data"),
    )
    def show(_: int, view: str, theme: dict[str, bool]) -> list[Any]:
        _only(view, "metrics")
        try:
            history = source.sample()
        except SourceError:
            raise PreventUpdate from None
        dark = bool((theme or {}).get("dark"))
        return [history.figure(number, title, dark=dark) for number, title in enumerate(titles)]


def _config(app: Dash, source: PageSource) -> None:
    @app.callback(Output("resource", "options"), Input("view", "data"), Input("said", "children"))
    def list_resources(view: str, _: str) -> list[dict[str, str]]:
        _only(view, "config")
        try:
            rows = source.resources()
        except SourceError:
            raise PreventUpdate from None
        return [
            {
                "label": f"{each['kind']} {each['namespace']}/{each['name']}",
                "value": f"{each['kind']}|{each['namespace']}|{each['name']}",
            }
            for each in rows
        ]

    @app.callback(Output("yaml", "value"), Input("resource", "value"), prevent_initial_call=True)
    def choose(value: str | None) -> str:
        if not value:
            raise PreventUpdate
        for each in source.resources():
            if f"{each['kind']}|{each['namespace']}|{each['name']}" == value:
                return str(each["text"]).strip() + "\n"
        raise PreventUpdate

    app.clientside_callback(_TYPED, Output("typed", "data"), Input("yaml", "value"))

    @app.callback(Output("problems", "children"), Input("typed", "data"))
    def check(text: str | None) -> Any:
        if not (text or "").strip():
            return html.P("Write or choose a resource: what the analyzer finds stands here.")
        found = source.problems(text or "")
        if not found:
            return html.P("The analyzer finds nothing.", className="note")
        items = [
            html.Li(
                [
                    html.Strong(f"line {each.position.line}: [{each.code}] "),
                    each.message,
                    html.Div(each.hint, className="note"),
                ],
                className=each.level.value,
            )
            for each in found
        ]
        return html.Ul(items)


def _changes(app: Dash, source: PageSource) -> None:
    """Everything that changes the mesh; what it did is said at the top of the page."""

    @app.callback(
        Output("said", "children"),
        Input("apply", "n_clicks"),
        Input("remove", "n_clicks"),
        Input("fault-delay", "n_clicks"),
        Input("fault-abort", "n_clicks"),
        Input("heal", "n_clicks"),
        Input("kill", "n_clicks"),
        Input("reset", "n_clicks"),
        State("yaml", "value"),
        State("resource", "value"),
        State("service", "value"),
        State("pod", "value"),
        prevent_initial_call=True,
    )
    def change(*values: Any) -> Any:
        text, resource, service, pod = values[-4:]
        actions: dict[str, Callable[[], str]] = {
            "apply": lambda: source.apply(text or ""),
            "remove": lambda: _remove(source, resource),
            "fault-delay": lambda: source.fault(service, "delay"),
            "fault-abort": lambda: source.fault(service, "abort"),
            "heal": lambda: source.heal(service),
            "kill": lambda: source.kill(pod),
            "reset": source.reset,
        }
        # With hundredths: two changes alike would leave the page as it is, and seem to do nothing.
        began = f"{datetime.now():%H:%M:%S.%f}"[:-4]
        try:
            return f"{began} {actions[str(ctx.triggered_id)]()}"
        except SourceError as problem:
            return html.Span(f"{began} {problem}", className="error")

    @app.callback(
        Output("pod", "options"),
        Output("pod", "value"),
        Input("said", "children"),
        State("pod", "value"),
    )
    def pods(_: Any, chosen: str | None) -> tuple[list[str], str | None]:
        names = source.pods
        return names, chosen if chosen in names else (names[-1] if names else None)


def _flow_views(app: Dash, source: PageSource) -> None:
    """A button for each sidecar; the view is another page, which opens by a link."""

    @app.callback(Output("viewable", "children"), Input("said", "children"))
    def buttons(_: Any) -> Any:
        pods = source.viewable
        if not pods:
            return html.P(
                "Envoy has none: this mesh would need ENGINE=mitmproxy.", className="note"
            )
        return [html.Button(pod, id={"type": FLOW_VIEW, "pod": pod}) for pod in pods]

    @app.callback(
        Output("flow-view", "children"),
        Input({"type": FLOW_VIEW, "pod": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def show(clicks: list[int | None]) -> Any:
        if not any(clicks) or not ctx.triggered_id:
            raise PreventUpdate  # the buttons are new, nobody has pressed one
        pod = str(ctx.triggered_id["pod"])
        try:
            address = source.flow_view(pod)
        except SourceError as problem:
            return html.P(str(problem), className="error")
        text = f"Open the flow view of {pod}"
        link = html.A(
            text, href=f"{address}#/flows", target="_blank", rel="noopener noreferrer", id="flows"
        )
        note = " It shows the requests from now on, and ends with this console."
        return html.P([link, html.Span(note, className="note")])


def _remove(source: PageSource, resource: str | None) -> str:
    if not resource:
        raise SourceError("choose a resource first")
    kind, namespace, name = resource.split("|")
    return source.delete(kind, namespace, name)
