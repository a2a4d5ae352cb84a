"""Showing figures in a notebook: offline, updated in place, and readable as text.

JupyterLab draws Plotly's own MIME type with what the plotly wheel installs into it: no CDN, no script
in the notebook.  The same output carries a sentence, which is what a screen reader, the notebooks'
tests and a plain terminal get.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

import plotly.graph_objects as go
from IPython.display import display, update_display

PLOTLY = "application/vnd.plotly.v1+json"


def bundle(figure: go.Figure, caption: str) -> dict[str, Any]:
    """The MIME bundle of a figure and its sentence."""
    return {PLOTLY: json.loads(figure.to_json()), "text/plain": caption}


def show(figure: go.Figure, caption: str) -> None:
    """Show a figure below the cell."""
    display(bundle(figure, caption), raw=True)


class Live:
    """A figure that is drawn again in its place: ``with Live() as live: live(figure, caption)``."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last figure standing."""

    def __call__(self, figure: go.Figure, caption: str) -> None:
        """Draw it."""
        data = bundle(figure, caption)
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            update_display(data, raw=True, display_id=self._handle.display_id)
