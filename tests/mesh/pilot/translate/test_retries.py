from __future__ import annotations

from datetime import timedelta

from mesh.istio.eras import era
from mesh.istio.models.virtual_service import HTTPRetry
from mesh.pilot.translate.retries import retry_policy, split_retry_on

OLD, TUTORIAL, NOW = era("istio-1.0"), era("istio-1.9"), era("istio-current")


def test_a_route_that_states_none_gets_the_eras_default() -> None:
    assert retry_policy(None, OLD) is None
    then = retry_policy(None, TUTORIAL)
    now = retry_policy(None, NOW)
    assert then is not None and now is not None
    assert (then.num_retries, then.retriable_status_codes) == (2, [503])
    assert (now.num_retries, now.retriable_status_codes) == (2, [])
    assert "retriable-status-codes" in then.retry_on
    assert "retriable-status-codes" not in now.retry_on


def test_attempts_zero_turns_retries_off_in_every_era() -> None:
    for release in (OLD, TUTORIAL, NOW):
        assert retry_policy(HTTPRetry(attempts=0), release) is None


def test_istio_1_0_retried_every_5xx_and_any_host() -> None:
    policy = retry_policy(HTTPRetry(attempts=3, per_try_timeout=timedelta(seconds=2)), OLD)
    assert policy is not None
    assert policy.retry_on == "5xx,connect-failure,refused-stream"
    assert (policy.num_retries, policy.per_try_timeout) == (3, timedelta(seconds=2))
    assert policy.retry_host_predicate == []


def test_a_retry_avoids_the_hosts_tried_before_unless_told_otherwise_or_hashing() -> None:
    stated = HTTPRetry(attempts=1)
    here = HTTPRetry(attempts=1, retry_ignore_previous_hosts=False)
    avoiding = retry_policy(stated, NOW)
    assert avoiding is not None
    assert len(avoiding.retry_host_predicate) == 1
    assert avoiding.host_selection_retry_max_attempts == 5
    for policy in (retry_policy(here, NOW), retry_policy(stated, NOW, hashing=True)):
        assert policy is not None
        assert policy.retry_host_predicate == []


def test_numbers_in_retry_on_become_status_codes() -> None:
    assert split_retry_on("gateway-error,503,409") == (
        ["gateway-error", "retriable-status-codes"],
        [503, 409],
    )
    policy = retry_policy(HTTPRetry(attempts=1, retry_on="reset,418"), NOW)
    assert policy is not None
    assert policy.retry_on == "reset,retriable-status-codes"
    assert policy.retriable_status_codes == [418]
