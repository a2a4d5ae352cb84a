"""Prefix: a match by the beginning of the path, to find those that one above takes.

It takes another's requests when its prefix is a beginning of the other's and it asks for nothing
else that the other does not ask for.  Istio's analyzer compares fewer fields, and reads a match
without a method as one for GET; what it finds beyond this is not so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.istio.models.virtual_service import HTTPMatchRequest

_NO_CONDITIONS = ("name", "uri", "statPrefix")
_BY_NAME = ("headers", "queryParams", "withoutHeaders", "sourceLabels")


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix and the other conditions of its match."""

    text: str
    conditions: Mapping[str, Any]

    def covers(self, other: Prefix) -> bool:
        """True when every request of the other match is one of this as well."""
        return other.text.startswith(self.text) and all(
            _implied(key, value, other.conditions.get(key))
            for key, value in self.conditions.items()
        )


def prefix_of(match: HTTPMatchRequest) -> Prefix | None:
    """Return the prefix of a match, None when it has none."""
    if match.uri is None or not match.uri.prefix:
        return None
    conditions = {
        key: value for key, value in match.to_json().items() if key not in _NO_CONDITIONS and value
    }
    return Prefix(match.uri.prefix, conditions)


def _implied(field: str, mine: Any, theirs: Any) -> bool:
    """True when a condition holds wherever the other's condition of the same field does."""
    if mine == theirs:
        return True
    if not isinstance(mine, dict) or not isinstance(theirs, dict) or field == "withoutHeaders":
        return False
    if field in _BY_NAME:
        return all(key in theirs and _implied("", each, theirs[key]) for key, each in mine.items())
    begins: str = mine.get("prefix") or ""
    value: str = theirs.get("exact") or theirs.get("prefix") or ""
    return bool(begins) and value.startswith(begins)
