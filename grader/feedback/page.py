"""The page of one result: one file, no script, no outside address, readable without its pictures."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.export.formats import UNGRADABLE
from grader.feedback.svg import Plot

WORDS = {"pass": "✓ pass", "fail": "✗ fail", "ungradable": "• could not be judged"}

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2rem } h3 { font-size: 1rem; margin: 0 }
.check { border-left: .4rem solid #777; padding: .2rem 0 .2rem .8rem; margin: 1rem 0 }
.pass { border-color: #1b6e53 } .fail { border-color: #b3401d } .ungradable { border-color: #9a6b00 }
.hint { background: #f3efe6; padding: .4rem .6rem } code, pre { font-size: .9rem }
pre { background: #f4f4f4; padding: .4rem .6rem; overflow-x: auto } svg { max-width: 100%; height: auto }
figure { margin: 1rem 0 } figcaption { font-size: .9rem } .small { font-size: .9rem; color: #555 }
@media print { body { margin: 0 } }
"""


@dataclass(frozen=True, slots=True)
class Feedback:
    """All that a page shows; ``lines`` maps ``file:line`` to the student's text there.

    ``plots`` are by check, those under ``""`` belong to none.
    """

    title: str
    student: str
    mark: str
    why: str
    result: dict[str, Any]
    problems: Sequence[dict[str, Any]] = ()
    lines: dict[str, str] = field(default_factory=dict)
    plots: dict[str, list[Plot]] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()


def lines_of(files: Path, problems: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The student's own lines that the problems point to."""
    found = {}
    for item in problems:
        path = files / Path(str(item.get("file", ""))).name
        number = int(item.get("line") or 0)
        if number and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace").splitlines()
            if number <= len(text):
                found[f"{path.name}:{number}"] = text[number - 1][:200]
    return found


def shown_checks(feedback: Feedback) -> tuple[list[dict[str, Any]], int]:
    """The checks that a student may see, and how many are hidden."""
    items = [*feedback.result["checks"], *feedback.result.get("answers", ())]
    visible = [item for item in items if item["name"] not in feedback.hidden]
    return visible, len(items) - len(visible)


def as_json(feedback: Feedback) -> str:
    """The same for programs."""
    checks, hidden = shown_checks(feedback)
    data = {
        "student": feedback.student,
        "lab": feedback.result["lab"],
        "mark": feedback.mark,
        "why": feedback.why,
        "verdict": feedback.result["verdict"],
        "checks": checks,
        "hidden_checks": hidden,
        "problems": [{**item, "text": _line(feedback, item)} for item in feedback.problems],
        "plots": {
            name: [{"title": each.title, "text": each.text} for each in plots]
            for name, plots in feedback.plots.items()
            if name not in feedback.hidden
        },
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _line(feedback: Feedback, item: dict[str, Any]) -> str:
    return feedback.lines.get(f"{Path(str(item.get('file', ''))).name}:{item.get('line')}", "")


def as_html(feedback: Feedback) -> str:
    """The page."""
    checks, hidden = shown_checks(feedback)
    parts = [
        f"<h1>{_e(feedback.title)}</h1>",
        f"<p>{_e(feedback.student)}: <strong>{_e(feedback.mark)}</strong>. {_e(feedback.why)}</p>",
    ]
    if feedback.result["verdict"] == "ungradable":
        parts.append(f"<p>{_e(UNGRADABLE)}</p>")
    if feedback.result.get("foreign"):
        parts.append(f"<p>These files answer {_e(feedback.result['foreign'])}.</p>")
    if feedback.problems:
        parts.append("<h2>What stands in your files</h2>")
        parts += [_problem(feedback, item) for item in feedback.problems]
    parts.append("<h2>What the traffic showed</h2>")
    parts += [_check(feedback, item) for item in checks]
    if hidden:
        parts.append(f"<p>{hidden} more check{'s are' if hidden > 1 else ' is'} hidden.</p>")
    if feedback.plots.get(""):
        parts.append("<h2>Response times</h2>")
        parts += [_figure(each) for each in feedback.plots[""]]
    result = feedback.result
    parts.append(
        f'<p class="small">Judged with the {_e(result["engine"])} sidecars, {_e(result["era"])}; '
        f"files {_e(result['digest'][:12])}, request ids with {_e(result['seed'])}.</p>"
    )
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{_e(feedback.title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _e(text: object) -> str:
    return html.escape(str(text))


def _problem(feedback: Feedback, item: dict[str, Any]) -> str:
    place = f"{Path(str(item.get('file', ''))).name}:{item.get('line')}"
    line = _line(feedback, item)
    shown = f"<pre>{_e(line)}</pre>" if line else ""
    hint = f'<p class="hint">{_e(item["hint"])}</p>' if item.get("hint") else ""
    head = f"<p><code>{_e(place)}</code> {_e(item['level'])} {_e(item['code'])}: "
    return f"{head}{_e(item['message'])}</p>{shown}{hint}"


def _check(feedback: Feedback, item: dict[str, Any]) -> str:
    evidence = f'<p class="small">Evidence: {_e(item["evidence"])}</p>' if item["evidence"] else ""
    hint = f'<p class="hint">Hint: {_e(item["help"])}</p>' if item["help"] else ""
    plots = "".join(_figure(each) for each in feedback.plots.get(item["name"], ()))
    word = WORDS.get(item["verdict"], item["verdict"])
    return (
        f'<section class="check {_e(item["verdict"])}"><h3>{_e(word)}: {_e(item["description"])} '
        f"({item['points']}/{item['max_points']})</h3>"
        f"<p>{_e(item['rationale'])}</p>{evidence}{hint}{plots}</section>"
    )


def _figure(plot: Plot) -> str:
    return f"<figure>{plot.svg}<figcaption>{_e(plot.text)}</figcaption></figure>"
