"""Retries: try again when it is safe and useful (``http[].retries`` of a VirtualService).

``attempts`` counts the extra tries, each bounded by ``perTryTimeout``; ``retryOn`` says which
failures count.  A route that states none gets the era's default, which changed over the years:
none in Istio 1.0, two with 503 included in 1.9, two without 503 from 1.24.
See it with ``meshctl proxy-config routes POD -o json``.

Source: istio/istio ``pilot/pkg/networking/core/route/retry/retry.go``.
"""

from __future__ import annotations

from functools import cache

from envoy_data_plane.envoy.config.route.v3 import (
    RetryPolicy,
    RetryPolicyRetryBackOff,
    RetryPolicyRetryHostPredicate,
)
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import PreviousHostsPredicate

from mesh.istio.eras import DefaultRetry, Era
from mesh.istio.models.virtual_service import HTTPRetry
from mesh.pilot.encode import sealed
from mesh.pilot.translate.messages import pack

PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
_ISTIO_1_0 = DefaultRetry(2, ("5xx", "connect-failure", "refused-stream"), (), 0)
"""What Istio 1.0 wrote for a route that states retries (and only then): any 5xx counts."""


def retry_policy(
    retries: HTTPRetry | None, era: Era, *, hashing: bool = False
) -> RetryPolicy | None:
    """The Envoy policy; None where nothing is retried.

    With consistent hashing (``hashing``) a retry stays on the host that the hash names.
    """
    default = era.default_retry
    if retries is None:
        return _usual(default, hashing) if default is not None else None
    if retries.attempts == 0:
        return None
    base = default or _ISTIO_1_0
    policy = _policy(base, hashing)
    if retries.attempts is not None:
        policy.num_retries = retries.attempts
    if retries.retry_on:
        tokens, codes = split_retry_on(retries.retry_on)
        policy.retry_on = ",".join(tokens)
        policy.retriable_status_codes = codes
    policy.per_try_timeout = retries.per_try_timeout
    if retries.backoff is not None:
        policy.retry_back_off = RetryPolicyRetryBackOff(base_interval=retries.backoff)
    if retries.retry_ignore_previous_hosts is False:
        policy.retry_host_predicate = []
    return policy


def split_retry_on(text: str) -> tuple[list[str], list[int]]:
    """Tokens and status codes: a bare number becomes a code and adds retriable-status-codes."""
    words = [word for word in text.split(",") if word]
    codes = [int(word) for word in words if word.isdigit()]
    tokens = [word for word in words if not word.isdigit()]
    if codes and "retriable-status-codes" not in tokens:
        tokens.append("retriable-status-codes")
    return tokens, codes


@cache
def _usual(default: DefaultRetry, hashing: bool) -> RetryPolicy:
    """Return what routes have that say nothing about retries; shared, nobody may change it."""
    return sealed(_policy(default, hashing))


def _policy(default: DefaultRetry, hashing: bool) -> RetryPolicy:
    return RetryPolicy(
        retry_on=",".join(default.retry_on),
        num_retries=default.attempts,
        retriable_status_codes=list(default.retriable_status_codes),
        host_selection_retry_max_attempts=default.host_selection_attempts,
        retry_host_predicate=[]
        if hashing or not default.host_selection_attempts
        else [
            RetryPolicyRetryHostPredicate(
                name=PREVIOUS_HOSTS, typed_config=pack(PreviousHostsPredicate())
            )
        ],
    )
