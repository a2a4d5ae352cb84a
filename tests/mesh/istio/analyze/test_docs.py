"""docs/analyzer.md lists every code with its level."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[4]
ROWS = {
    code: set(levels.split(", "))
    for code, levels in re.findall(
        r"^\| ((?:IST|KIT)\d{4}) \| ([a-z, ]+) \|", (ROOT / "docs/analyzer.md").read_text(), re.M
    )
}
SOURCES = "\n".join(each.read_text() for each in sorted((ROOT / "mesh/istio").rglob("*.py")))


def test_the_table_lists_every_code_there_is() -> None:
    assert set(re.findall(r'"((?:IST|KIT)\d{4})"', SOURCES)) == set(ROWS)


def test_the_levels_are_those_of_the_code() -> None:
    stated: dict[str, set[str]] = {}
    for code, level in re.findall(r'"((?:IST|KIT)\d{4})",\s+Level\.([A-Z]+)', SOURCES):
        stated.setdefault(code, set()).add(level.lower())
    assert len(stated) > 30
    assert stated == {code: ROWS[code] for code in stated}
