"""The token bucket, and what a configuration has to say."""

import pytest
from envoy_data_plane.envoy.extensions.filters.http.local_ratelimit.v3 import LocalRateLimit
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.sidecar.filters.local_ratelimit import TokenBucket, compile_limit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_tokens_come_back_evenly_and_never_more_than_fit() -> None:
    clock = Clock()
    bucket = TokenBucket(10, 10 / 40, clock)
    assert [bucket.take() for _ in range(12)] == [True] * 10 + [False] * 2
    clock.now += 9  # one token every 4 s
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    clock.now += 10_000
    assert sum(bucket.take() for _ in range(30)) == 10


@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.lists(st.floats(0, 50, allow_nan=False), max_size=60),
)
@example(1, 6, [0.0])
def test_no_more_passes_than_the_bucket_held_and_gained(
    size: int, fill: int, waits: list[float]
) -> None:
    clock = Clock()
    bucket, passed = TokenBucket(size, fill / 10, clock), 0
    for wait in waits:
        clock.now += wait
        passed += bucket.take()
    assert passed <= size + sum(waits) * fill / 10 + 1e-6
    assert passed >= min(len(waits), size)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"token_bucket": {"max_tokens": 1, "fill_interval": "0.049s"}}, ">= 50ms"),
        ({"token_bucket": {"max_tokens": 0, "fill_interval": "1s"}}, "start at 1"),
        ({"stat_prefix": ""}, "stat_prefix"),
        ({"descriptors": [{}]}, "descriptors cannot be executed"),
        ({}, "must be set for per filter configs"),
    ],
)
def test_what_is_refused(config: dict[str, object], reason: str) -> None:
    made = LocalRateLimit.from_dict({"stat_prefix": "a", **config})
    with pytest.raises(ValueError, match=reason):
        compile_limit(made, Clock(), route=True)


def test_a_filter_without_shares_is_off_as_in_envoy() -> None:
    limit = compile_limit(LocalRateLimit(stat_prefix="a"), Clock(), route=False)
    assert (limit.bucket, limit.enabled, limit.enforced) == (None, (0, 100), (0, 100))
