"""Characters that a slide, a chat or an editor put in: tabs, no-break spaces, curly quotes, fences.

YAML allows only spaces for indentation, and to YAML a curly quote is a letter of the value.
"""

from __future__ import annotations

from mesh.istio.fix.draft import Draft, Edit

_ODD = {
    "\u00a0": " ",
    "\u2007": " ",
    "\u202f": " ",
    "\u200b": "",
    "\u201c": '"',
    "\u201d": '"',
    "\u201e": '"',
    "\u2018": "'",
    "\u2019": "'",
}
_TABLE = str.maketrans(_ODD)


def characters(draft: Draft) -> Edit | None:
    """Replace what cannot be meant; comments keep their typography."""
    for index, line in enumerate(draft.lines):
        text = line.text
        if text.lstrip().startswith("#"):
            continue
        if text.startswith("```"):
            reason = "``` is a sign of Markdown, not of YAML"
            return draft.replace(index, index + 1, (), reason)
        head = text[: len(text) - len(text.lstrip(" \t"))]
        if "\t" in head and text.strip():
            new = head.replace("\t", "  ") + text[len(head) :]
            return draft.replace(index, index + 1, [new], "YAML is indented with spaces, not tabs")
        if any(each in text for each in _ODD):
            new = text.translate(_TABLE)
            if new.strip():
                reason = "no-break spaces and curly quotation marks are letters to YAML"
                return draft.replace(index, index + 1, [new], reason)
    return None
