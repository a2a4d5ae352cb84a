"""Formats from before Istio's own: recognised, converted, and said to be so.

The lecture shows a circuit breaker of Istio 0.x and one of Linkerd 1.  Neither has a kind or an
apiVersion, so an API server could not even refuse them properly; here each has a converter to the
DestinationRule that does (nearly) the same, one file a format with the mapping in its docstring.
Shown by ``meshctl analyze FILE`` and written by ``meshctl fix --write FILE``.
"""

from __future__ import annotations

from mesh.istio.document import Document, parse
from mesh.istio.eras import Era
from mesh.istio.legacy.converted import Converted
from mesh.istio.legacy.failure_accrual import failure_accrual
from mesh.istio.legacy.simple_cb import simple_cb
from mesh.istio.problem import Level, Position, Problem

CODE = "KIT0150"
CONVERTERS = (simple_cb, failure_accrual)


def convert(document: Document, era: Era) -> Converted | None:
    """Return what a document in a legacy format means in this era, None for any other."""
    if document.root is None or (document.root.kind == "map" and "kind" in document.root.entries):
        return None
    plain = document.root.plain()
    for converter in CONVERTERS:
        converted = converter(plain, era)
        if converted is not None:
            return converted
    return None


def problem(document: Document, converted: Converted, file: str) -> Problem:
    """Return the remark that a document was in a legacy format, with the mapping."""
    root = document.root
    assert root is not None
    return Problem(
        CODE,
        Level.INFO,
        f"legacy format, converted: {converted.format} -> DestinationRule; "
        + "; ".join(converted.notes),
        Position(file, root.line, root.column),
        read=converted.format,
        expected="DestinationRule",
        hint="No Istio of today reads this; write the DestinationRule.",
        fix="meshctl fix --write replaces it by the DestinationRule",
    )


def convert_text(text: str, file: str = "", *, era: Era) -> tuple[str, list[Problem]]:
    """Return the text with every legacy document converted, and a remark for each.

    A text without any comes back as it is.
    """
    documents, _ = parse(text, file)
    found = [(each, convert(each, era)) for each in documents]
    problems = [problem(each, converted, file) for each, converted in found if converted]
    if not problems:
        return text, []
    parts = [
        converted.text if converted else each.text.removeprefix("---").lstrip("\n")
        for each, converted in found
    ]
    return "---\n".join(part if part.endswith("\n") else part + "\n" for part in parts), problems


__all__ = ["CODE", "CONVERTERS", "Converted", "convert", "convert_text", "problem"]
