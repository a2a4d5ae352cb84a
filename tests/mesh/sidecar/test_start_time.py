"""A request's beginning, written by strftime's letters and Envoy's fractions."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from mesh.sidecar.start_time import start_time


def test_the_default_has_milliseconds() -> None:
    assert start_time(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"


def test_a_pattern_chooses() -> None:
    assert start_time(1_700_000_000.123456, "%Y %s.%3f|%6f") == "2023 1700000000.123|123456"
    assert start_time(1_700_000_000.123456, "%H:%M") == "22:13"


@given(st.integers(0, 4 * 10**15))
def test_seconds_that_are_shared_change_nothing(micros: int) -> None:
    when = datetime.fromtimestamp(micros // 10**6, UTC).replace(microsecond=micros % 10**6)
    written = start_time(micros / 10**6, "%Y-%m-%dT%H:%M:%S.%6f")
    assert abs(datetime.fromisoformat(written).replace(tzinfo=UTC) - when).total_seconds() <= 2e-6
