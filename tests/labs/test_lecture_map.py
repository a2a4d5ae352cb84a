"""docs/lecture-map.md is true: labs that are there, sections that exist, and no topic left out."""

import re
from pathlib import Path

import pytest

from grader.lab import LABS, all_labs

MAP = LABS.parent / "docs" / "lecture-map.md"
ROWS = [
    tuple(cell.strip() for cell in line.strip("|\n").split("|"))
    for line in MAP.read_text(encoding="utf-8").splitlines()
    if re.match(r"\| .+ \| \d+ \|", line)
]
FOLDERS: dict[int, Path] = {lab.number: lab.folder for lab in all_labs()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_row_says_what_is_there(row: tuple[str, ...]) -> None:
    _, number, section = row
    folder = FOLDERS[int(number)]
    heads = re.findall(r"^##+ (.+)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert section in heads, f"{folder.name} has no section {section!r}: {heads}"


def test_every_lab_is_the_home_of_a_slide() -> None:
    assert set(FOLDERS) <= {int(row[1]) for row in ROWS}
    assert len({row[0] for row in ROWS}) == len(ROWS)


def test_no_yaml_slide_is_without_a_home() -> None:
    """The kit's copies of the slides' snippets are all mentioned by their topic."""
    topics = (
        "Original Launch",
        "Canary Release",
        "Dark Launch",
        "Load balancing",
        "Timeout",
        "Retry",
        "Circuit breaker",
        "Outlier detection",
        "delays",
        "mTLS",
        "egress",
        "ServiceRole",
        "l5d-dtab",
    )
    text = " ".join(row[0] for row in ROWS)
    assert [topic for topic in topics if topic not in text] == []
