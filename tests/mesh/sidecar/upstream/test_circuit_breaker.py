from __future__ import annotations

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mesh.sidecar.upstream.circuit_breaker import (
    CircuitBreaker,
    RetryBudget,
    make_circuit_breakers,
)


def test_defaults_and_priorities() -> None:
    config = {
        "name": "c",
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": 1, "max_pending_requests": 0, "max_retries": 9},
                {"priority": "HIGH", "max_requests": 7},
            ],
            "per_host_thresholds": [{"max_connections": 4}],
        },
    }
    breakers = make_circuit_breakers(Cluster.from_dict(config))
    default, high = breakers.of(0), breakers.of(1)
    assert (default.connections.limit, default.requests.limit) == (1, 1024)
    assert (default.pending_requests.limit, default.retries.limit) == (0, 9)
    assert (high.connections.limit, high.requests.limit, high.retries.limit) == (1024, 7, 3)
    assert breakers.max_connections_per_host == 4
    assert default.state()["rq_pending_open"] == 1


def test_what_was_not_taken_cannot_be_given_back() -> None:
    with pytest.raises(RuntimeError, match="connections: released more often"):
        CircuitBreaker().connections.release()


def test_a_host_without_connection_may_open_one_over_the_limit() -> None:
    connections = CircuitBreaker(connections=0).connections
    assert not connections.admit()
    connections.force()
    assert (connections.count, connections.overflows) == (1, 1)


@pytest.mark.parametrize(
    ("in_flight", "limit"), [(0, 3), (14, 3), (15, 3), (20, 4), (24, 4), (25, 5), (1000, 200)]
)
def test_the_retry_budget_follows_the_requests(in_flight: int, limit: int) -> None:
    assert RetryBudget(20.0, 3).limit(in_flight) == limit


class Breaker(RuleBasedStateMachine):
    """Requests queue, run, end and retry in any order; a model counts along."""

    @initialize(
        pending=st.integers(0, 3),
        requests=st.integers(0, 4),
        budget=st.none() | st.builds(RetryBudget, st.sampled_from([0.0, 50.0]), st.integers(0, 2)),
    )
    def start(self, pending: int, requests: int, budget: RetryBudget | None) -> None:
        self.limits = (pending, requests)
        self.budget = budget
        self.breaker = CircuitBreaker(1, pending, requests, 2, budget)
        self.waiting = self.running = self.retrying = self.refused = 0

    @rule()
    def arrive(self) -> None:
        admitted = self.breaker.pending_requests.admit()
        assert admitted is (self.waiting < self.limits[0])
        self.waiting += admitted
        self.refused += not admitted

    @precondition(lambda self: self.waiting > 0)
    @rule()
    def run(self) -> None:
        admitted = self.breaker.requests.admit()
        assert admitted is (self.running < self.limits[1])
        if admitted:
            self.breaker.pending_requests.release()
            self.waiting -= 1
            self.running += 1

    @precondition(lambda self: self.running > 0)
    @rule()
    def end(self) -> None:
        self.breaker.requests.release()
        self.running -= 1

    @rule()
    def retry(self) -> None:
        limit = 2 if self.budget is None else self.budget.limit(self.running + self.waiting)
        admitted = self.breaker.retries.admit()
        assert admitted is (self.retrying < limit)
        self.retrying += admitted

    @precondition(lambda self: self.retrying > 0)
    @rule()
    def retry_ends(self) -> None:
        self.breaker.retries.release()
        self.retrying -= 1

    @invariant()
    def counts_agree(self) -> None:
        breaker = self.breaker
        assert breaker.pending_requests.count == self.waiting <= self.limits[0]
        assert breaker.requests.count == self.running <= self.limits[1]
        assert breaker.retries.count == self.retrying
        assert breaker.pending_requests.overflows == self.refused
        assert breaker.in_flight == self.waiting + self.running


TestBreaker = Breaker.TestCase
TestBreaker.settings = settings(max_examples=60)
