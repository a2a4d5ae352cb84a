"""Drawing parameters: reproducible, spread over the lists, never the self-study set."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from grader.parameters import ParameterSet, all_sets, draw, pick

SELF = {"share": 10, "header": "x-a"}
GROUPS = [[{"share": 15}, {"share": 25}, {"share": 30}], [{"header": "x-b"}, {"header": "x-c"}]]


@given(st.text(), st.text(), st.integers(1, 50))
def test_a_pick_is_one_of_them_and_always_the_same(seed: str, what: str, count: int) -> None:
    found = pick(seed, what, count)
    assert 0 <= found < count
    assert pick(seed, what, count) == found


def test_every_set_is_drawn_by_somebody_and_none_is_the_self_study_set() -> None:
    drawn = Counter(str(draw(SELF, GROUPS, f"seed{n}", "lab-01")) for n in range(600))
    assert set(drawn) == {str(each) for each in all_sets(SELF, GROUPS)}
    assert len(drawn) == 6
    assert min(drawn.values()) > 50
    assert str(SELF) not in drawn


def test_another_lab_is_another_draw() -> None:
    first = [draw(SELF, GROUPS, f"seed{n}", "lab-01") for n in range(50)]
    second = [draw(SELF, GROUPS, f"seed{n}", "lab-02") for n in range(50)]
    assert first != second


def test_without_lists_there_is_nothing_to_draw() -> None:
    assert draw(SELF, [], "seed", "lab-01") == SELF
    assert list(all_sets(SELF, [])) == []


def test_self_study_takes_the_first_choice() -> None:
    assert ParameterSet(SELF).choose("diagnosis", 5) == 0
    assert ParameterSet(SELF, "ann", "", "seed").choose("d", 5) == pick("seed", "d", 5)
