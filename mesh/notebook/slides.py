"""Slides of one file: a notebook with its outputs as HTML that needs no network.

Cells say by ``slideshow.slide_type`` where a slide begins (``slide``), goes on (``-``), or that they are
left out (``skip``).  Everything is in the file: Plotly's script, the styles, a few lines that turn the
page with the arrow keys.  Nothing is fetched, which the page's own policy forbids as well.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mistune
from plotly.offline import get_plotlyjs
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from mesh.notebook.show import PLOTLY

STYLE = """
body { margin: 0; font: 24px/1.45 system-ui, sans-serif; color: #1a202c; background: #fff }
section { box-sizing: border-box; min-height: 100vh; padding: 4vh 7vw; border-bottom: 1px solid #e2e8f0 }
body.one section { display: none } body.one section.here { display: block }
pre { font-size: 17px; background: #f7fafc; padding: .6em .9em; overflow: auto; border-radius: 6px }
table { border-collapse: collapse } td, th { border: 1px solid #cbd5e0; padding: .2em .7em }
h1 { color: #2b6cb0 } .output { color: #2d3748; background: #fff; border-left: 4px solid #2b6cb0 }
@media print { body.one section { display: block; page-break-after: always } }
"""
SCRIPT = """
const slides = [...document.querySelectorAll('section')];
let at = Math.max(0, slides.findIndex(each => '#' + each.id === location.hash));
function draw(slide) {
  for (const place of slide.querySelectorAll('[data-figure]:not([data-done])')) {
    place.dataset.done = 1;
    const figure = JSON.parse(place.previousElementSibling.textContent);
    Plotly.newPlot(place, figure.data, figure.layout, {responsive: true, displaylogo: false});
  }
}
function turn(step) {
  at = Math.min(slides.length - 1, Math.max(0, at + step));
  slides.forEach((each, n) => each.classList.toggle('here', n === at));
  history.replaceState(null, '', '#' + slides[at].id);
  draw(slides[at]);
}
document.addEventListener('keydown', event => {
  if (['ArrowRight', 'PageDown', ' '].includes(event.key)) { event.preventDefault(); turn(1); }
  if (['ArrowLeft', 'PageUp'].includes(event.key)) { event.preventDefault(); turn(-1); }
});
document.body.classList.add('one');
turn(0);
"""
POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"


def slides(book: Any, title: str) -> str:
    """The page: one HTML text."""
    sections = "\n".join(
        f'<section id="s{number}">{"".join(map(_cell, group))}</section>'
        for number, group in enumerate(_groups(book), start=1)
    )
    colours = HtmlFormatter().get_style_defs(".highlight")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">'
        f"<title>{html.escape(title)}</title><style>{STYLE}{colours}</style>"
        f"<script>{get_plotlyjs()}</script></head><body>\n{sections}\n"
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def write_slides(book: Any, path: Path) -> None:
    """Write the page of a notebook that was run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(slides(book, path.stem), encoding="utf-8")


def _groups(book: Any) -> Iterator[list[Any]]:
    group: list[Any] = []
    for cell in book["cells"]:
        kind = cell["metadata"].get("slideshow", {}).get("slide_type", "-")
        if kind == "skip":
            continue
        if kind == "slide" and group:
            yield group
            group = []
        group.append(cell)
    if group:
        yield group


def _cell(cell: Any) -> str:
    if cell["cell_type"] == "markdown":
        text = mistune.create_markdown(plugins=["table"])(cell["source"])
        return str(text)
    code = highlight(cell["source"], PythonLexer(), HtmlFormatter())
    return str(code) + "".join(map(_output, cell.get("outputs", ())))


def _output(output: Any) -> str:
    data = output.get("data", {})
    if PLOTLY in data:
        # </script> inside of the data would end it early.
        figure = json.dumps(data[PLOTLY]).replace("<", "\\u003c")
        said = html.escape(data.get("text/plain", ""))
        return (
            f'<script type="application/json">{figure}</script>'
            f'<div data-figure="1" role="img" aria-label="{said}"></div>'
        )
    text = output.get("text", "") or data.get("text/plain", "")
    return f'<pre class="output">{html.escape(text)}</pre>' if text else ""
