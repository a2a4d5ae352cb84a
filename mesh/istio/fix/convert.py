"""Documents in a format from before Istio's own (``mesh.istio.legacy``): written in today's."""

from __future__ import annotations

from mesh.istio.fix.draft import Draft, Edit
from mesh.istio.legacy import convert


def legacy_formats(draft: Draft) -> Edit | None:
    """Put the converted resource in place of the first legacy document."""
    for document in draft.documents:
        if document.root is None or document.problems:
            continue
        converted = convert(document, draft.era)
        if converted is None:
            continue
        start, end = draft.span(document)
        while start < end and (draft.lines[start].blank or draft.lines[start].text[:3] == "---"):
            start += 1
        reason = f"legacy format, converted: {converted.format}; {'; '.join(converted.notes)}"
        return draft.replace(start, end, converted.text.rstrip("\n").split("\n"), reason)
    return None
