"""Placeholders that nobody filled in: ``"*.{tutorial}.svc.cluster.local"``."""

from __future__ import annotations

import re

from mesh.istio.fix.draft import Draft, Edit

_HOLE = re.compile(r"[{<]([a-z0-9]([-a-z0-9]*[a-z0-9])?)[}>]")
_HOST = re.compile(
    r"""\s*(?:- )*(?:(?:host|namespace|name):\s*)?["']?[\w*.-]*[{<][a-z0-9-]+[}>][\w.-]*["']?\s*$"""
)


def placeholders(draft: Draft) -> Edit | None:
    """Take the braces off a name in a host or namespace: the word inside is what is meant."""
    for index, line in enumerate(draft.lines):
        if line.blank or not _HOST.match(line.text) or not re.search(r"\.|name", line.text):
            continue
        if re.search(r"""[:-]\s+[{<][^}>]*[}>]\s*$""", line.text):
            continue
        new = _HOLE.sub(r"\1", line.text)
        if new != line.text:
            reason = "{...} marks a word to fill in; a host is made of letters, digits, - and ."
            return draft.replace(index, index + 1, [new], reason)
    return None
