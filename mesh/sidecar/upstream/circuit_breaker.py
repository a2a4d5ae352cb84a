"""Circuit breaker: limits of what one sidecar sends to one cluster at the same time.

In a DestinationRule: ``connectionPool`` with ``tcp.maxConnections``,
``http.http1MaxPendingRequests``, ``http2MaxRequests`` (requests in flight, HTTP/1 too),
``maxRetries``.  Istio's defaults are 2^32 - 1.  Each client's sidecar counts for itself and each
subset is a cluster of its own.  What finds no place fails at once: 503, flag UO, header
``x-envoy-overloaded``, and it is not retried, so a slow service is not buried.
See it with ``meshctl proxy-config clusters POD`` and the counter ``upstream_rq_pending_overflow``.

Source: Envoy, ``source/common/upstream/resource_manager_impl.h``, "Circuit breaking".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envoy_data_plane.envoy.config.cluster.v3 import CircuitBreakersThresholds, Cluster

OVERFLOW_BODY = b"upstream connect error or disconnect/reset before headers. reset reason: overflow"
DEFAULT, HIGH = 0, 1


class Resource:
    """A counter with a limit.  ``overflows`` counts refusals."""

    __slots__ = ("_limit", "count", "name", "overflows")

    def __init__(self, name: str, limit: int | Callable[[], int]) -> None:
        self.name = name
        self._limit = limit
        self.count = 0
        self.overflows = 0

    @property
    def limit(self) -> int:
        """The limit now; that of a retry budget moves with the requests in flight."""
        limit = self._limit
        return limit if isinstance(limit, int) else limit()

    def can_admit(self) -> bool:
        """Whether there is a place."""
        return self.count < self.limit

    def admit(self) -> bool:
        """Take a place; False, and one overflow more, when there is none."""
        if self.count < self.limit:
            self.count += 1
            return True
        self.overflows += 1
        return False

    def force(self) -> None:
        """Take a place over the limit.

        A host without any connection may always open one: otherwise connections to other hosts
        could starve it.
        """
        self.count += 1

    def release(self) -> None:
        """Give a place back; RuntimeError when none was taken (a bug of the caller)."""
        if self.count <= 0:
            raise RuntimeError(f"{self.name}: released more often than admitted")
        self.count -= 1


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """Concurrent retries as a share (percent) of the requests in flight, at least ``minimum``."""

    percent: float = 20.0
    minimum: int = 3

    def limit(self, in_flight: int) -> int:
        """Places for retries while ``in_flight`` requests run or wait."""
        return max(int(self.percent / 100 * in_flight), self.minimum)


class CircuitBreaker:
    """The resources of one priority of a cluster."""

    __slots__ = ("connections", "pending_requests", "requests", "retries")

    def __init__(
        self,
        connections: int = 1024,
        pending_requests: int = 1024,
        requests: int = 1024,
        retries: int = 3,
        budget: RetryBudget | None = None,
    ) -> None:
        self.connections = Resource("connections", connections)
        self.pending_requests = Resource("pending_requests", pending_requests)
        self.requests = Resource("requests", requests)
        if budget is None:
            self.retries = Resource("retries", retries)
        else:
            self.retries = Resource("retries", lambda: budget.limit(self.in_flight))

    @property
    def in_flight(self) -> int:
        """Requests that run or wait."""
        return self.requests.count + self.pending_requests.count

    def state(self) -> dict[str, int]:
        """Gauges as Envoy's statistics name them: 1 is open (no place left)."""
        return {
            "cx_open": int(not self.connections.can_admit()),
            "rq_pending_open": int(not self.pending_requests.can_admit()),
            "rq_open": int(not self.requests.can_admit()),
            "rq_retry_open": int(not self.retries.can_admit()),
        }


class CircuitBreakers:
    """The circuit breakers of a cluster: by priority (a route's ``priority``), and per host."""

    __slots__ = ("_priorities", "max_connections_per_host")

    def __init__(
        self, default: CircuitBreaker, high: CircuitBreaker, per_host: int | None = None
    ) -> None:
        self._priorities = (default, high)
        self.max_connections_per_host = per_host

    def of(self, priority: int) -> CircuitBreaker:
        """Return the breaker of a routing priority: 0 default, 1 high."""
        return self._priorities[priority]


def make_circuit_breakers(cluster: Cluster) -> CircuitBreakers:
    """Make the breakers of ``cluster``; what it does not set has Envoy's default (1024, 3)."""
    config = cluster.circuit_breakers
    thresholds = {int(item.priority): item for item in config.thresholds} if config else {}
    per_host = config.per_host_thresholds if config else []
    return CircuitBreakers(
        _breaker(thresholds.get(DEFAULT)),
        _breaker(thresholds.get(HIGH)),
        per_host[0].max_connections if per_host else None,
    )


def _breaker(thresholds: CircuitBreakersThresholds | None) -> CircuitBreaker:
    if thresholds is None:
        return CircuitBreaker()
    budget = None
    if thresholds.retry_budget is not None:
        percent = thresholds.retry_budget.budget_percent
        minimum = thresholds.retry_budget.min_retry_concurrency
        budget = RetryBudget(
            percent=20.0 if percent is None else percent.value,
            minimum=3 if minimum is None else minimum,
        )
    return CircuitBreaker(
        connections=_or(thresholds.max_connections, 1024),
        pending_requests=_or(thresholds.max_pending_requests, 1024),
        requests=_or(thresholds.max_requests, 1024),
        retries=_or(thresholds.max_retries, 3),
        budget=budget,
    )


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
