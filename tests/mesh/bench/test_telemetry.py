"""Mixer's memory is bounded: with small bounds it stops growing early, however many records come."""

from __future__ import annotations

from mesh.bench.telemetry import records

STEP = 10_000


def test_memory_stops_growing_and_the_oldest_go() -> None:
    rows = [*records(4 * STEP, STEP, kept=1_000, max_series=500).values()]
    assert [row["forgotten"] for row in rows] == [step * STEP - 1_000 for step in (1, 2, 3, 4)]
    # What is not bounded would be 1 kB a record, 20 MB in the last two steps.
    assert rows[3]["pss_mb"] - rows[1]["pss_mb"] < 8
