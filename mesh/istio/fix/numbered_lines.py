"""Line numbers that were copied with a slide: ``1 destination: ...``, ``2 - tags:``."""

from __future__ import annotations

import re

from mesh.istio.document import parse
from mesh.istio.fix.draft import Draft, Edit, Line

_NUMBER = re.compile(r"( *)(\d{1,4})(?=\s)\s*")


def numbered_lines(draft: Draft) -> Edit | None:
    """Cut the column of numbers off when every line has one and they count up by one."""
    for document in draft.documents:
        start, end = draft.span(document)
        while start < end and (draft.lines[start].blank or draft.lines[start].text[:3] == "---"):
            start += 1
        lines = [line for line in draft.lines[start:end] if line.text.strip()]
        found = [_NUMBER.match(line.text) for line in lines]
        if len(lines) < 2 or not all(found):
            continue
        matches = [each for each in found if each is not None]
        numbers = [int(each.group(2)) for each in matches]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            continue
        width = min(each.end() for each in matches)
        fixed = [line.text[width:] for line in lines]
        ragged = [line.text[each.end(2) + 1 :] for line, each in zip(lines, matches, strict=True)]
        if any(each.end(2) > width for each in matches):
            fixed = ragged
        ways = [way for way in (fixed, ragged) if _readable(way)] or [fixed]
        best = min(ways, key=_odd)
        cut = iter(best)
        new = [
            Line(next(cut), line.origin) if line.text.strip() else line
            for line in draft.lines[start:end]
        ]
        return draft.replace(start, end, new, "the numbers are those of the slide's lines")
    return None


def _readable(lines: list[str]) -> bool:
    return all(each.root is not None for each in parse("\n".join(lines), "")[0])


def _odd(lines: list[str]) -> int:
    """Count odd indentations: the sign that the column was cut off askew."""
    return sum((len(line) - len(line.lstrip(" "))) % 2 for line in lines)
