"""A service level lies between its baseline and what can be kept at best."""

import pytest

from grader.evidence.level import Level, level


@pytest.mark.parametrize(
    ("kept", "of", "baseline", "share", "position"),
    [
        (10, 10, 0.6, 1.0, 1.0),
        (6, 10, 0.6, 0.6, 0.0),
        (8, 10, 0.6, 0.8, 0.5),
        (0, 10, 0.6, 0.0, 0.0),
        (3, 4, 0.0, 0.75, 0.75),
    ],
)
def test_a_position_is_between_baseline_and_reference(
    kept: int, of: int, baseline: float, share: float, position: float
) -> None:
    found = Level(kept, of, baseline)
    assert found.share == pytest.approx(share)
    assert found.position == pytest.approx(position)


def test_the_first_wrong_mark_is_told() -> None:
    found = level([(True, "a"), (False, "b"), (False, "c")], 0.5)
    assert (found.kept, found.of, found.wrong) == (1, 3, "b")
    assert level([(True, "a")], 0.5).wrong == ""
