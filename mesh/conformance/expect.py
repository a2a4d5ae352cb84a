"""Judging an observation: every way in which it is not what the case expects, as sentences. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from mesh.conformance.case import EGRESS, Count, Distribution, Expect
from mesh.conformance.observe import ANY, Observation, Row


def failures(expect: Expect, seen: Observation) -> list[str]:
    """Return what is not as expected; an empty list is a pass."""
    found = _status(expect, seen)
    if expect.body is not None:
        found += _field(seen.answers, "body", expect.body, "body")
    if expect.body_contains is not None:
        wrong = [
            row.get("body", "")
            for row in seen.answers
            if expect.body_contains not in row.get("body", "")
        ]
        if wrong:
            found.append(f"body: {expect.body_contains!r} is not in {wrong[0]!r}")
    if expect.took is not None:
        took = [row["took"] for row in seen.answers]
        if took != list(expect.took):
            found.append(f"took: {took} instead of {list(expect.took)}")
    for name, value in expect.headers.items():
        found += _field(seen.answers, f"header.{name.lower()}", value, f"header {name}")
    for name, value in expect.received.items():
        found += _field(seen.answers, f"received.{name.lower()}", value, f"received {name}")
    if expect.records and not seen.caller:
        found.append("records: the caller's sidecar logged nothing")
    for name, wanted in expect.records.items():
        found += _field(seen.caller, name, str(wanted), f"record {name}")
    inbound = [row for row in seen.records if row["by"].endswith(" inbound")]
    if expect.inbound and not inbound:
        found.append("inbound: no backend's sidecar logged anything")
    for name, wanted in expect.inbound.items():
        found += _field(inbound, name, str(wanted), f"inbound record {name}")
    left = [row for row in seen.records if row["by"].startswith(f"{EGRESS} ")]
    if expect.egress and not left:
        found.append("egress: the egress gateway logged nothing")
    for name, wanted in expect.egress.items():
        found += _field(left, name, str(wanted), f"egress record {name}")
    for workload, headers in expect.requests.items():
        rows = [row for row in seen.requests if row["backend"] == workload]
        for name, values in headers.items():
            found += _request(rows, name.lower(), values, f"requests of {workload}: {name}")
    found += _backends(expect, seen)
    if expect.distribution is not None:
        found += _distribution(expect.distribution, seen.backends)
    return found


def _status(expect: Expect, seen: Observation) -> list[str]:
    if expect.status is None:
        return []
    got = Counter(int(row["status"]) for row in seen.answers)
    wanted = expect.status
    if isinstance(wanted, int):
        wanted = {wanted: len(seen.answers)}
    spans = {status: _span(count) for status, count in wanted.items()}
    strange = set(got) - set(spans)
    if not strange and all(low <= got[status] <= high for status, (low, high) in spans.items()):
        return []
    return [f"status: {_counts(got)} instead of {_counts(wanted)}"]


def _span(count: Count) -> tuple[int, int]:
    return (count, count) if isinstance(count, int) else count


def _shown(count: Count) -> str:
    low, high = _span(count)
    return str(low) if low == high else f"{low} to {high}"


def _counts(counts: Mapping[int, Count]) -> str:
    parts = [f"{_shown(count)} x {status}" for status, count in sorted(counts.items())]
    return ", ".join(parts) or "nothing"


def _request(
    rows: list[Row], name: str, wanted: str | tuple[str, ...] | None, shown: str
) -> list[str]:
    """Compare a header of what a workload received: all alike, or one after another."""
    if not isinstance(wanted, tuple):
        return _field(rows, name, wanted, shown) if rows else [f"{shown}: no request came"]
    got = tuple(row.get(name, "") for row in rows)
    return [] if got == wanted else [f"{shown}: {list(got)} instead of {list(wanted)}"]


def _field(rows: list[Row], key: str, wanted: str | None, shown: str) -> list[str]:
    """Compare one field of every row; None: it must be absent, ``*``: it must be there."""
    wrong = Counter(
        row.get(key)
        for row in rows
        if (key not in row if wanted == ANY else row.get(key) != wanted)
    )
    if not wrong:
        return []
    got, count = wrong.most_common(1)[0]
    expected = {None: "nothing", ANY: "some value"}.get(wanted, repr(wanted))
    value = "nothing" if got is None else repr(got)
    return [f"{shown}: {value} ({count} of {len(rows)}) instead of {expected}"]


def _backends(expect: Expect, seen: Observation) -> list[str]:
    found = []
    for workload, wanted in expect.backends.items():
        low, high = _span(wanted)
        got = seen.backends.get(workload, 0)
        if not low <= got <= high:
            found.append(f"backends: {workload} had {got} requests instead of {_shown(wanted)}")
    return found


def _distribution(wanted: Distribution, got: dict[str, int]) -> list[str]:
    total = sum(got.values())
    found = []
    for workload, share in wanted.share.items():
        count = got.get(workload, 0)
        p = binomial_p(count, total, share)
        if p < wanted.alpha:
            found.append(
                f"distribution: {workload} had {count} of {total}, "
                f"p = {p:.1e} for a share of {share:g}"
            )
    return found


def binomial_p(count: int, total: int, share: float) -> float:
    """Return the exact two-sided p-value of ``count`` successes in ``total`` draws.

    The probability, when the share is right, of a count that is as unlikely as this one or
    more (the definition of ``scipy.stats.binomtest``).
    """
    if share in (0.0, 1.0):
        return float(count == total * share)
    logs = [
        math.lgamma(total + 1)
        - math.lgamma(k + 1)
        - math.lgamma(total - k + 1)
        + k * math.log(share)
        + (total - k) * math.log1p(-share)
        for k in range(total + 1)
    ]
    limit = logs[count] + 1e-7
    return min(1.0, math.fsum(math.exp(each) for each in logs if each <= limit))
