"""KIT0101, KIT0102, KIT0103: time limits and retries that do not do what they say.

A try that runs into ``perTryTimeout`` ends in a reset, and Envoy repeats resets only for
``5xx``, ``gateway-error`` and ``reset`` (``retry_state_impl.cc``, wouldRetryFromReset); with
Istio's default of 1.1 and later the answer is 504 at once.  The route's timeout includes all
tries.  A fault runs in the same sidecar before the router, so the timeout of the same rule never
sees it (istio/api, ``HTTPRoute.fault``).
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.eras import Era
from mesh.istio.models.base import format_duration
from mesh.istio.models.virtual_service import HTTPRetry
from mesh.istio.problem import Level, Problem

RESET = frozenset(["5xx", "gateway-error", "reset"])
_SINCE_DEFAULT = (1, 1)


def per_try_timeout(context: Context) -> Iterator[Problem]:
    """A perTryTimeout needs a retryOn that repeats a reset, and must be shorter than the timeout."""
    for resource, rule, path in context.http_routes():
        retries = rule.retries
        if retries is None or retries.attempts == 0 or retries.per_try_timeout is None:
            continue
        limit = format_duration(retries.per_try_timeout)
        if not _repeats_reset(retries, context.era):
            said = f'"{retries.retry_on}"' if retries.retry_on else f"the default of {context.era}"
            yield resource.problem(
                "KIT0101",
                Level.WARNING,
                f"a try that takes longer than perTryTimeout {limit} is not repeated: it ends in "
                f"a reset, and retryOn ({said}) has no 5xx, gateway-error or reset; "
                "the answer is 504 after the first try",
                f"{path}.retries.perTryTimeout",
                expected="retryOn with 5xx, gateway-error or reset",
                hint='Add `retryOn: "5xx"` (or "gateway-error,reset") to these retries.',
            )
        if rule.timeout and retries.per_try_timeout >= rule.timeout:
            whole = format_duration(rule.timeout)
            yield resource.problem(
                "KIT0102",
                Level.WARNING,
                f"perTryTimeout {limit} is not shorter than the timeout {whole} of the whole "
                "request, which includes all tries: it has no effect, and no second try starts",
                f"{path}.retries.perTryTimeout",
                expected=f"less than {whole}",
                hint=f"With {retries.attempts or 2} retries the timeout must be about "
                f"{1 + (retries.attempts or 2)} times the perTryTimeout.",
            )


def fault_and_timeout(context: Context) -> Iterator[Problem]:
    """A fault and a timeout (or retries) in one rule do not meet."""
    for resource, rule, path in context.http_routes():
        if rule.fault is None:
            continue
        for name, value in (("timeout", rule.timeout), ("retries", rule.retries)):
            if value:
                yield resource.problem(
                    "KIT0103",
                    Level.WARNING,
                    f"{name} does not see the fault of the same rule: the sidecar delays or "
                    "aborts before it routes, and the clock starts afterwards",
                    f"{path}.{name}",
                    hint="Put the fault on the next hop (customer -> preference: timeout; "
                    "preference -> recommendation: fault).",
                )


def _repeats_reset(retries: HTTPRetry, era: Era) -> bool:
    if retries.retry_on is None or retries.retry_on == "":
        return era.release < _SINCE_DEFAULT
    return bool(RESET & {word.strip() for word in retries.retry_on.split(",")})
