"""Eras: what one release of Istio did with the same YAML.

The lecture is of 2018, the tutorial of 2021, a cluster of today is younger than both, and the
same document means something else in each: default retries, the default load balancer, the
outlier detection of ``consecutiveErrors`` and the rule about weights changed.  An era is a
numbered release; a lab names its own, ``--era`` overrides it, and every result carries it.

Sources: istio/istio at the tags 1.0, 1.9 and 1.28 (``pilot/pkg/networking/core``,
``pilot/pkg/networking/core/route/retry/retry.go``, ``pkg/config/validation/validation.go``).
Shown by ``meshctl analyze --era ERA``.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

LoadBalancer = Literal["ROUND_ROBIN", "LEAST_REQUEST"]
NetworkingVersion = Literal["v1alpha3", "v1beta1", "v1"]


@dataclass(frozen=True, slots=True)
class DefaultRetry:
    """The retry policy of a route that states none; ``attempts`` counts the extra tries."""

    attempts: int
    retry_on: tuple[str, ...]
    retriable_status_codes: tuple[int, ...]
    host_selection_attempts: int


@dataclass(frozen=True, slots=True)
class Era:
    """One release and what it did.

    ``release`` is (major, minor).  ``consecutive_errors_honoured`` says whether
    ``outlierDetection.consecutiveErrors`` works (it then counts 502, 503 and 504 only and turns
    the 5xx detection off) or is parsed and ignored.  ``mixer`` says whether Mixer's policies run,
    ``auto_mtls`` whether a client sidecar turns mTLS on by itself.
    """

    name: str
    release: tuple[int, int]
    weights_must_total_100: bool
    default_load_balancer: LoadBalancer
    default_retry: DefaultRetry | None
    consecutive_errors_honoured: bool
    default_outbound_policy: Literal["REGISTRY_ONLY", "ALLOW_ANY"]
    auto_mtls: bool
    mixer: bool
    preferred_networking_version: NetworkingVersion

    def __str__(self) -> str:
        return self.name


_RETRY_ON = ("connect-failure", "refused-stream", "unavailable", "cancelled")

ISTIO_1_0 = Era(
    name="istio-1.0",
    release=(1, 0),
    weights_must_total_100=True,
    default_load_balancer="ROUND_ROBIN",
    default_retry=None,
    consecutive_errors_honoured=True,
    default_outbound_policy="REGISTRY_ONLY",
    auto_mtls=False,
    mixer=True,
    preferred_networking_version="v1alpha3",
)
ISTIO_1_9 = Era(
    name="istio-1.9",
    release=(1, 9),
    weights_must_total_100=True,
    default_load_balancer="ROUND_ROBIN",
    default_retry=DefaultRetry(2, (*_RETRY_ON, "retriable-status-codes"), (503,), 5),
    consecutive_errors_honoured=False,
    default_outbound_policy="ALLOW_ANY",
    auto_mtls=True,
    mixer=False,
    preferred_networking_version="v1beta1",
)
ISTIO_1_28 = Era(
    name="istio-1.28",
    release=(1, 28),
    weights_must_total_100=False,
    default_load_balancer="LEAST_REQUEST",
    default_retry=DefaultRetry(2, _RETRY_ON, (), 5),
    consecutive_errors_honoured=False,
    default_outbound_policy="ALLOW_ANY",
    auto_mtls=True,
    mixer=False,
    preferred_networking_version="v1",
)

ERAS: dict[str, Era] = {each.name: each for each in (ISTIO_1_0, ISTIO_1_9, ISTIO_1_28)}
CURRENT = "istio-current"
ALIASES: dict[str, str] = {CURRENT: ISTIO_1_28.name}


def era(name: str) -> Era:
    """Return the era ``name``; ``istio-current`` points to the newest numbered one.

    Raises ValueError, with the eras that exist, when there is none of that name.
    """
    found = ERAS.get(ALIASES.get(name, name))
    if found is not None:
        return found
    words = [*ERAS, *ALIASES]
    close = get_close_matches(name, words, n=1)
    nearest = f' Did you mean "{close[0]}"?' if close else ""
    raise ValueError(f'unknown era "{name}": choose one of {", ".join(words)}.{nearest}')
