"""Declared differences: every ``known_difference`` of the cases, as a page for readers.

``meshctl conform --differences`` prints it; ``docs/differences.md`` is its output.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mesh.conformance.case import Case

HEAD = """\
# Where the two engines differ

Differences that conformance cases declare, each with its reason; any other one fails its case.
Printed by `meshctl conform --differences`.

"""
NONE = "None is declared: on every case both engines do the same.\n"


def differences_page(cases: Sequence[tuple[Path, Case]], base: Path) -> str:
    """Return the page as Markdown; ``base`` is the folder that files are named from."""
    rows = []
    for file, case in cases:
        name = file.relative_to(base) if file.is_relative_to(base) else file
        for number, step in enumerate(case.traffic, 1):
            known = step.known_difference
            if known is not None:
                what = [*known.expect.model_dump(exclude_unset=True), *known.fields]
                cells = (str(name), str(number), known.engine, ", ".join(what), known.reason)
                rows.append(f"| {' | '.join(' '.join(each.split()) for each in cells)} |\n")
    if not rows:
        return HEAD + NONE
    table = "| case | step | engine | what | why |\n|---|---|---|---|---|\n"
    return HEAD + table + "".join(rows)
