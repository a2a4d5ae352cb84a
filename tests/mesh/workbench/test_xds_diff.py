"""xDS diff: what a change of configuration adds, removes and changes in each proxy."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.workbench.xds_diff import Message, compare


@dataclass(frozen=True)
class Resource:
    """A stand-in for an xDS message."""

    value: int

    def to_dict(self) -> dict[str, object]:
        return {"name": "r", "value": self.value}


def proxies(**values: int) -> dict[str, dict[str, dict[str, Message]]]:
    return {name: {"RDS": {"http": Resource(value)}} for name, value in values.items()}


def test_the_same_change_in_two_proxies_is_told_once() -> None:
    (change,) = compare(proxies(a=1, b=1, c=5), proxies(a=2, b=2, c=5))
    assert (change.type, change.name, change.kind) == ("RDS", "http", "changed")
    assert change.proxies == ("a", "b")
    assert "-value: 1\n+value: 2\n" in change.diff()


def test_different_changes_are_told_apart() -> None:
    found = compare(proxies(a=1, b=1), proxies(a=2, b=3))
    assert [each.proxies for each in found] == [("a",), ("b",)]


def test_what_is_new_and_what_is_gone() -> None:
    found = {each.kind: each.proxies for each in compare(proxies(a=1), proxies(b=1))}
    assert found == {"removed": ("a",), "added": ("b",)}


def test_no_change() -> None:
    assert compare(proxies(a=1), proxies(a=1)) == []
