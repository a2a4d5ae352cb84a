"""memquota: so many requests per ``validDuration``, counted in Mixer's memory.

``quotas[].name`` is the quota instance, ``maxAmount`` its limit, ``overrides`` other limits for some
dimensions: the first whose ``dimensions`` all fit counts.  Each combination of dimensions has a
count of its own.  A window begins with its first request and is over after ``validDuration``.
Source: istio/istio 1.4 ``mixer/adapter/memquota`` (there the window rolls in ten steps).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mesh.mixer.adapters import AdapterError, Verdict, seconds

RESOURCE_EXHAUSTED = 8
MAX_WINDOWS = 10_000
CHARGE = "charge"
"""Key under which Mixer hands over how much a request costs, beside the dimensions."""


class Adapter:
    """A handler of kind ``memquota``."""

    def __init__(self, params: Mapping[str, Any], clock: Callable[[], float]) -> None:
        """Read the limits."""
        self._clock = clock
        self._quotas: dict[str, Mapping[str, Any]] = {}
        for quota in params.get("quotas") or []:
            if not quota.get("name"):
                raise AdapterError("memquota: every quota needs a name")
            self._quotas[str(quota["name"])] = quota
        self._windows: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[float, int]] = {}

    def check(self, instance: str, values: Mapping[str, Any]) -> Verdict:
        """Charge one request; an instance without a limit is free."""
        quota = next((limit for name, limit in self._quotas.items() if _same(name, instance)), None)
        if quota is None:
            return Verdict()
        dimensions = {key: str(value) for key, value in values.items() if key != CHARGE}
        limit = _limit(quota, dimensions)
        now = self._clock()
        key = (instance, tuple(sorted(dimensions.items())))
        ends, used = self._windows.get(key, (0.0, 0))
        if now >= ends:
            if len(self._windows) >= MAX_WINDOWS:
                self._windows = {k: v for k, v in self._windows.items() if v[0] > now}
            length = seconds(limit.get("validDuration"), seconds(quota.get("validDuration"), 1.0))
            ends, used = now + length, 0
        amount = int(values.get(CHARGE, 1))
        if used + amount > int(limit.get("maxAmount") or 0):
            self._windows[key] = ends, used
            short = instance.partition(".")[0]
            return Verdict(RESOURCE_EXHAUSTED, f"Quota is exhausted for: {short}")
        self._windows[key] = ends, used + amount
        return Verdict()


def _same(name: str, instance: str) -> bool:
    """``requestcount.quota.istio-system`` is also called ``requestcount.quota`` and ``requestcount``."""
    return instance == name or instance.startswith(f"{name}.")


def _limit(quota: Mapping[str, Any], dimensions: Mapping[str, str]) -> Mapping[str, Any]:
    for override in quota.get("overrides") or []:
        wanted = override.get("dimensions") or {}
        if all(dimensions.get(key) == value for key, value in wanted.items()):
            return dict(override)
    return quota
