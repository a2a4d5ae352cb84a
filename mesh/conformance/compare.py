"""Holding the engines against each other: what one shows and the other does not. Pure."""

from __future__ import annotations

import json
from collections import Counter
from fnmatch import fnmatchcase

from mesh.conformance.case import Step
from mesh.conformance.observe import Observation, Row


def differences(step: Step, mitmproxy: Observation, envoy: Observation) -> list[str]:
    """Return the undeclared differences of a step, and a declared one that is not there."""
    if step.how == "none":
        return []
    found = {
        **_rows("answer", mitmproxy.answers, envoy.answers, step.how),
        **_rows("record", mitmproxy.records, envoy.records, step.how),
        **_rows("request", mitmproxy.requests, envoy.requests, step.how),
    }
    if step.how == "multiset" and mitmproxy.backends != envoy.backends:
        found["backends"] = _two(str(mitmproxy.backends), str(envoy.backends))
    known = step.known_difference
    if known is None:
        return [f"{field}: {text}" for field, text in found.items()]
    declared = {
        field for field in found if any(fnmatchcase(field, pattern) for pattern in known.fields)
    }
    left = [f"{field}: {text}" for field, text in found.items() if field not in declared]
    combination = [text for text in left if " combination: " not in text]
    left = combination if declared else left
    stale = [
        pattern
        for pattern in known.fields
        if not any(fnmatchcase(field, pattern) for field in found)
    ]
    return left + [f"{pattern}: declared as different, but equal" for pattern in stale]


def _rows(what: str, one: list[Row], other: list[Row], how: str) -> dict[str, str]:
    """Compare field by field, so that the message names the field; then the rows as wholes."""
    found: dict[str, str] = {}
    for name in sorted({name for row in (*one, *other) for name in row}):
        ours = Counter(row.get(name) for row in one)
        theirs = Counter(row.get(name) for row in other)
        if ours != theirs if how == "multiset" else set(ours) != set(theirs):
            found[f"{what}.{name}"] = _two(_shown(ours, how), _shown(theirs, how))
    if not found:
        ours_whole = Counter(json.dumps(row, sort_keys=True) for row in one)
        theirs_whole = Counter(json.dumps(row, sort_keys=True) for row in other)
        same = (
            ours_whole == theirs_whole
            if how == "multiset"
            else set(ours_whole) == set(theirs_whole)
        )
        if not same:
            only = sorted(set(ours_whole) ^ set(theirs_whole)) or sorted(ours_whole)
            found[f"{what} combination"] = f"fields agree one by one, not together: {only[0]}"
    return found


def _shown(counts: Counter[str | None], how: str) -> str:
    parts = []
    for value, count in sorted(counts.items(), key=lambda item: str(item[0])):
        text = "absent" if value is None else repr(value)
        parts.append(f"{count} x {text}" if how == "multiset" else text)
    return ", ".join(parts) or "no row"


def _two(ours: str, theirs: str) -> str:
    return f"mitmproxy {ours} | envoy {theirs}"
