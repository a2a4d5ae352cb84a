from __future__ import annotations

import pytest

from mesh.pilot.memo import Memo, note


def test_a_value_is_made_once_until_its_source_changes() -> None:
    memo, made = Memo(), []

    def make() -> int:
        note("source")
        made.append(1)
        return len(made)

    assert [memo.get("key", make), memo.get("key", make)] == [1, 1]
    assert memo.forget(["another"]) == set()
    assert memo.forget(["source"]) == {"key"}
    assert memo.get("key", make) == 2


def test_what_was_made_of_something_made_goes_with_it() -> None:
    memo = Memo()

    def inner() -> int:
        note("source")
        return 1

    def outer() -> int:
        return memo.get("inner", inner) + 1

    assert memo.get("outer", outer) == 2
    memo.get("apart", lambda: 3)
    assert memo.forget(["source"]) == {"inner", "outer"}
    assert len(memo) == 1


def test_a_kept_value_counts_as_a_source_too() -> None:
    memo = Memo()
    memo.get("inner", lambda: note("source"))
    memo.get("outer", lambda: memo.get("inner", lambda: None))
    assert memo.forget(["source"]) == {"inner", "outer"}


def test_sources_of_an_earlier_making_do_not_count_any_more() -> None:
    memo = Memo()
    for source in ("first", "second"):
        memo.get("key", lambda source=source: note(source))  # type: ignore[misc]
        if source == "first":
            memo.forget(["first"])
    assert memo.forget(["first"]) == set()
    assert memo.forget(["second"]) == {"key"}


def test_what_cannot_be_made_is_not_kept() -> None:
    memo = Memo()

    def fail() -> int:
        note("source")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        memo.get("key", fail)
    assert memo.get("key", lambda: 1) == 1
    note("outside")  # nothing is being made: nothing depends on it
