"""Sentences before the first key: a comment whose second line lost its ``#``."""

from __future__ import annotations

import re

from mesh.istio.fix.draft import Draft, Edit

_YAML = re.compile(r"""\s*(?:- |-$|[{\["'%&*!]|---|\.\.\.|[A-Za-z_][\w./-]*\s*:(?:\s|$))""")


def prose(draft: Draft) -> Edit | None:
    """Make comments of the text lines that stand before the first key of a broken document."""
    for document in draft.documents:
        if document.root is not None and document.root.kind == "map":
            continue
        start, end = draft.span(document)
        lines = draft.lines[start:end]
        first = next(
            (n for n, each in enumerate(lines) if not each.blank and _YAML.match(each.text)), None
        )
        texts = [n for n, each in enumerate(lines) if not each.blank and n < (first or 0)]
        if not texts:
            continue
        index = start + texts[0]
        text = draft.lines[index].text
        reason = "a line of a comment needs its own #; without it, it is read as part of the object"
        return draft.replace(index, index + 1, [f"# {text.strip()}"], reason)
    return None
