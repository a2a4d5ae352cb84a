"""Every rule has a case: ``rows.yaml`` says which, and each name in it is a case that is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mesh.conformance.case import read_cases
from mesh.conformance.declared import differences_page

HERE = Path(__file__).parent
CASES = HERE / "cases"
ROWS = yaml.safe_load((HERE / "rows.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("section", ROWS)
def test_every_row_has_cases(section: str) -> None:
    assert ROWS[section]
    missing = {
        row: [each for each in cases if not (CASES / f"{each}.yaml").is_file()]
        for row, cases in ROWS[section].items()
    }
    assert {row: names for row, names in missing.items() if names} == {}
    assert all(ROWS[section].values())


def test_the_page_of_differences_is_up_to_date() -> None:
    page = (HERE.parents[1] / "docs" / "differences.md").read_text(encoding="utf-8")
    assert page == differences_page(read_cases([CASES]), CASES)
