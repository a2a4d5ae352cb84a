"""The report of a run: what the traffic did, each check with its evidence and hint, the score.

Words stand beside the signs (✓ pass, ✗ fail, • ungradable), so that nothing depends on colour;
without a terminal, or with ``NO_COLOR``, the text is plain.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from grader.evidence.traffic import percent
from grader.result import Result
from grader.verdict import CheckResult, Verdict

SIGNS = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.UNGRADABLE: "•"}
STYLES = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.UNGRADABLE: "yellow"}
COLOURS = ("cyan", "magenta", "yellow", "green")
BAR = 20
"""Cells of a full bar; one cell is 5 %."""


def make_console() -> Console:
    """A console on standard output: colours on a terminal only, never with NO_COLOR."""
    return Console(highlight=False, soft_wrap=False)


def split_bar(counts: Mapping[str, int], *, cells: int = BAR) -> Text:
    """``v1 ██████████████████░░ 90.2 %   v2 ██░░░░░░░░░░░░░░░░░░ 9.8 %``.

    A version that got any traffic shows at least one cell, one that lacks any shows a gap.
    """
    total = sum(counts.values())
    text = Text()
    for number, (version, count) in enumerate(sorted(counts.items())):
        full = round(cells * count / total) if total else 0
        if count:
            full = max(full, 1)
        if count < total:
            full = min(full, cells - 1)
        if number:
            text.append("   ")
        text.append(f"{version} ", style="bold")
        text.append("█" * full, style=COLOURS[number % len(COLOURS)])
        text.append("░" * (cells - full), style="dim")
        text.append(f" {percent(count, total)}")
    return text


def print_split(console: Console, title: str, counts: Mapping[str, int]) -> None:
    """The split as one line of bars, one line a version where the terminal is narrow."""
    total = sum(counts.values())
    console.print(f"\n{escape(title)} ({total} requests)")
    if not total:
        console.print("  no request was answered by a version")
        return
    line = split_bar(counts)
    if line.cell_len + 2 <= console.width:
        console.print(Text("  ") + line)
        return
    cells = max(5, min(BAR, console.width - 16))
    for part in split_bar(counts, cells=cells).split("   "):
        console.print(Text("  ") + part)


def print_check(console: Console, check: CheckResult) -> None:
    """One check: its sign, word, sentence and points; below, indented, what was found."""
    style = STYLES[check.verdict]
    head = Text(f"{SIGNS[check.verdict]} {check.verdict}", style=f"bold {style}")
    head.append("  ")
    head.append(check.description, style="default not bold")
    head.append(f" ({check.points}/{check.max_points})", style="dim not bold")
    console.print(head)
    lines = [check.rationale, f"evidence: {check.evidence}" if check.evidence else ""]
    for line in filter(None, lines):
        print_indented(console, Text(line))
    if check.help:
        print_indented(console, Text(f"hint: {check.help}", style=style))


def print_indented(console: Console, text: Text, *, indent: int = 4) -> None:
    """Wrap ``text`` to the terminal's width, all its lines indented, none padded."""
    for line in text.wrap(console, max(console.width - indent, 10)):
        line.rstrip()
        console.print(Text(" " * indent) + line)


def print_result(console: Console, result: Result, *, note: str = "") -> None:
    """All checks, ``note`` (where the evidence is, or what to try), and the score as last line."""
    console.print()
    for check in result.checks:
        print_check(console, check)
    if result.answers:
        console.print("\nPredictions and diagnosis")
        for answer in result.answers:
            print_check(console, answer)
    if result.foreign:
        console.print(
            f"\nThese files answer {escape(result.foreign)}, not the one in use. "
            "That is noted in the result."
        )
    if note:
        console.print(f"\n{escape(note)}")
    if result.verdict is Verdict.UNGRADABLE:
        console.print(
            "\nThis run could not be judged in full; it is the kit's fault and costs no points."
        )
    console.print()
    if result.answers:
        console.print(f"answers: {result.answers_score}/{result.answers_max}", style="bold")
    console.print(f"score: {result.score}/{result.max_score}", style="bold")
