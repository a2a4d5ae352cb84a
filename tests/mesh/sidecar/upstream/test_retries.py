"""Number, budget, back-off and hosts of retries; the conditions are judged by Envoy."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.route.v3 import (
    HeaderMatcher,
    RetryPolicy,
    RetryPolicyRetryBackOff,
    RetryPolicyRetryHostPredicate,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mesh.sidecar.filters.head import RequestHead
from mesh.sidecar.upstream.circuit_breaker import CircuitBreaker, RetryBudget
from mesh.sidecar.upstream.retries import (
    PREVIOUS_HOSTS,
    Outcome,
    Reset,
    RetryRules,
    RetryState,
    Verdict,
    compile_retries,
)

FAILED = Outcome(500)
GOOD = Outcome(200)
ISTIO = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"


def state(rules: RetryRules, breaker: CircuitBreaker | None = None) -> RetryState[str]:
    retries = (breaker or CircuitBreaker()).retries
    return RetryState(rules, retries.admit, retries.release)


@pytest.mark.parametrize(
    ("tokens", "reset", "started", "wanted"),
    [
        (ISTIO, Reset.PER_TRY_TIMEOUT, True, False),
        (f"{ISTIO},gateway-error", Reset.PER_TRY_TIMEOUT, True, True),
        (ISTIO, Reset.CONNECT_FAILURE, False, True),
        (ISTIO, Reset.CONNECT_TIMEOUT, False, True),
        (ISTIO, Reset.REFUSED_STREAM, True, True),
        (ISTIO, Reset.TERMINATION, True, False),
        ("5xx", Reset.TERMINATION, True, True),
        ("reset", Reset.REMOTE_RESET, True, True),
        ("reset-before-request", Reset.TERMINATION, True, False),
        ("reset-before-request", Reset.TERMINATION, False, True),
        ("retriable-4xx", Reset.TERMINATION, True, False),
        ("5xx,reset,gateway-error,connect-failure", Reset.OVERFLOW, False, False),
    ],
)
def test_resets(tokens: str, reset: Reset, started: bool, wanted: bool) -> None:
    rules = compile_retries(RetryPolicy(retry_on=tokens))
    assert rules.wants(Outcome(reset=reset, request_started=started)) is wanted


def test_attempts_are_extra_tries() -> None:
    retries = state(RetryRules(tokens=frozenset({"5xx"}), num_retries=2))
    verdicts = [retries.should_retry(FAILED) for _ in range(3)]
    assert verdicts == [Verdict.RETRY, Verdict.RETRY, Verdict.LIMIT]
    assert retries.attempts == 3
    assert verdicts[-1].flag == "URX"


def test_one_retry_is_the_default_and_zero_is_none() -> None:
    assert compile_retries(RetryPolicy(retry_on="5xx")).num_retries == 1
    assert state(RetryRules(frozenset({"5xx"}), 0)).should_retry(FAILED) is Verdict.LIMIT
    assert state(compile_retries(None)).should_retry(FAILED) is Verdict.NO


def test_a_full_breaker_ends_the_retries() -> None:
    breaker = CircuitBreaker(retries=1)
    rules = RetryRules(frozenset({"5xx"}), 3)
    first, second = state(rules, breaker), state(rules, breaker)
    assert first.should_retry(FAILED) is Verdict.RETRY
    assert second.should_retry(FAILED) is Verdict.OVERFLOW
    assert Verdict.OVERFLOW.flag == "UO"
    first.done()
    assert breaker.retries.count == 0


@pytest.mark.parametrize(
    ("back_off", "intervals"),
    [
        (None, [25, 50, 100, 200, 250, 250]),
        (RetryPolicyRetryBackOff(base_interval=timedelta(milliseconds=10)), [10, 20, 40, 80, 100]),
        (
            RetryPolicyRetryBackOff(
                base_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=30)
            ),
            [10, 20, 30, 30],
        ),
    ],
)
def test_back_off_is_uniform_below_a_growing_interval(
    back_off: RetryPolicyRetryBackOff | None, intervals: list[int]
) -> None:
    rules = compile_retries(RetryPolicy(retry_on="5xx", retry_back_off=back_off))
    rng = random.Random(3)
    waits: list[set[int]] = [set() for _ in intervals]
    for _ in range(4000):
        retries = state(rules)
        for seen in waits:
            seen.add(round(retries.back_off(rng) * 1000))
    assert [(min(seen), max(seen)) for seen in waits] == [(0, most - 1) for most in intervals]


def test_a_maximum_below_the_base_is_refused() -> None:
    back_off = RetryPolicyRetryBackOff(
        base_interval=timedelta(seconds=1), max_interval=timedelta(milliseconds=1)
    )
    with pytest.raises(ValueError, match="max_interval"):
        compile_retries(RetryPolicy(retry_on="5xx", retry_back_off=back_off))


def test_previous_hosts_are_avoided_when_asked_for() -> None:
    predicate = RetryPolicyRetryHostPredicate(name=PREVIOUS_HOSTS)
    policy = RetryPolicy(
        retry_on="5xx", retry_host_predicate=[predicate], host_selection_retry_max_attempts=5
    )
    rules = compile_retries(policy)
    assert rules.host_attempts == 5
    retries = state(rules)
    retries.tried.append("a")
    assert retries.avoid() == ["a"]
    plain = state(compile_retries(RetryPolicy(retry_on="5xx")))
    plain.tried.append("a")
    assert plain.avoid() == []


def test_headers_of_a_trusted_caller_only() -> None:
    rules = compile_retries(RetryPolicy(retry_on="connect-failure", num_retries=1))
    headers = [
        ("x-envoy-retry-on", "5xx,retriable-status-codes"),
        ("x-envoy-max-retries", "4"),
        ("x-envoy-retriable-status-codes", "404"),
    ]
    head = RequestHead("GET", "http", "a", "/", headers)
    assert rules.for_request(head) is rules
    changed = rules.for_request(head, trusted=True)
    assert changed.num_retries == 4
    assert changed.wants(FAILED)
    assert changed.wants(Outcome(404))


def test_only_certain_requests_are_retried() -> None:
    matcher = HeaderMatcher(name="x-safe", present_match=True)
    rules = compile_retries(RetryPolicy(retry_on="5xx", retriable_request_headers=[matcher]))
    safe = RequestHead("GET", "http", "a", "/", [("x-safe", "1")])
    assert rules.for_request(safe).wants(FAILED)
    assert not rules.for_request(RequestHead("GET", "http", "a", "/")).wants(FAILED)


class Budget(RuleBasedStateMachine):
    """Many requests with retries share one budget: places are never lost nor doubled."""

    @initialize(minimum=st.integers(0, 2), percent=st.sampled_from([0.0, 20.0, 100.0]))
    def start(self, minimum: int, percent: float) -> None:
        self.breaker = CircuitBreaker(budget=RetryBudget(percent, minimum))
        self.rules = RetryRules(frozenset({"5xx"}), 2)
        self.requests: list[RetryState[str]] = []
        self.holding: set[int] = set()

    @rule()
    def begin(self) -> None:
        self.breaker.requests.admit()
        self.requests.append(state(self.rules, self.breaker))

    @precondition(lambda self: self.requests)
    @rule(index=st.integers(0, 30), outcome=st.sampled_from([FAILED, GOOD]))
    def end_of_try(self, index: int, outcome: Outcome) -> None:
        request = self.requests[index % len(self.requests)]
        self.holding.discard(id(request))
        room = len(self.holding) < self.breaker.retries.limit
        number = request.attempts
        verdict = request.should_retry(outcome)
        if outcome is GOOD:
            assert verdict is Verdict.NO
        elif number > 2:
            assert verdict is Verdict.LIMIT
        else:
            assert verdict is (Verdict.RETRY if room else Verdict.OVERFLOW)
        if verdict is Verdict.RETRY:
            self.holding.add(id(request))
        else:
            self.requests.remove(request)
            self.breaker.requests.release()

    @precondition(lambda self: self.requests)
    @rule(index=st.integers(0, 30))
    def client_leaves(self, index: int) -> None:
        request = self.requests.pop(index % len(self.requests))
        request.done()
        request.done()  # twice does no harm
        self.holding.discard(id(request))
        self.breaker.requests.release()

    @invariant()
    def places(self) -> None:
        assert self.breaker.retries.count == len(self.holding)
        assert self.breaker.requests.count == len(self.requests)


TestBudget = Budget.TestCase
TestBudget.settings = settings(max_examples=60)
