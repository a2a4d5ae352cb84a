"""Linkerd 1's failure accrual: when a client takes an endpoint out of its balancer.

What it was: ``client.failureAccrual`` of a router, one policy for every service behind it.  What
comes nearest in Istio is outlier detection of a DestinationRule for ``*.local``:

    kind io.l5d.consecutiveFailures, failures    -> consecutive5xxErrors
    kind io.l5d.successRate, successRate,
      requests (a moving average)                -> consecutive5xxErrors: requests * (1 - successRate)
    kind io.l5d.successRateWindowed, window      -> the same, of 20 requests: Istio has no window
    kind none                                    -> consecutive5xxErrors: 0 (off)
    backoff constant ms, jittered minMs          -> baseEjectionTime (grows with each ejection)
    (no limit on what is taken out)              -> maxEjectionPercent: 100

Istio turns Envoy's success-rate detection off, so errors in a row stand for the rate: a service
that fails now and then is judged otherwise than by Linkerd.
Source: linkerd.io ``config/1.x``, "Failure accrual"; linkerd/linkerd ``finagle/buoyant``.
"""

from __future__ import annotations

from typing import Any

from mesh.istio.eras import Era
from mesh.istio.legacy.converted import Converted, destination_rule

FORMAT = "failureAccrual of Linkerd 1"
_DEFAULT_FAILURES = 5


def failure_accrual(root: Any, era: Era) -> Converted | None:
    """Convert the first router that has a failure accrual; None when the document has none."""
    routers = root.get("routers") if isinstance(root, dict) and "routers" in root else root
    if isinstance(routers, dict):
        routers = [routers]
    if not isinstance(routers, list):
        return None
    for router in routers:
        client = router.get("client") if isinstance(router, dict) else None
        accrual = client.get("failureAccrual") if isinstance(client, dict) else None
        if isinstance(accrual, dict):
            return _convert(accrual, era)
    return None


def _convert(accrual: dict[str, Any], era: Era) -> Converted:
    kind = str(accrual.get("kind", "io.l5d.consecutiveFailures"))
    notes: list[str] = []
    if kind == "none":
        errors = 0
        notes.append("kind none -> consecutive5xxErrors: 0 (off)")
    elif kind.startswith("io.l5d.successRate"):
        requests = _number(accrual.get("requests"), 20)
        errors = max(1, round(requests * (1 - _number(accrual.get("successRate"), 0.8))))
        notes.append(
            f"{kind} -> {errors} errors in a row: Istio has no success rate per endpoint, "
            "so this is the nearest, not the same"
        )
    else:
        errors = max(1, round(_number(accrual.get("failures"), _DEFAULT_FAILURES)))
        notes.append("failures -> consecutive5xxErrors")
    word = "consecutiveErrors" if era.consecutive_errors_honoured else "consecutive5xxErrors"
    detection: dict[str, Any] = {word: errors}
    backoff = accrual.get("backoff")
    if isinstance(backoff, dict):
        wait = backoff.get("ms") or backoff.get("minMs")
        if wait is not None:
            milliseconds = max(1, round(_number(wait, 5000)))
            whole = milliseconds % 1000 == 0
            time = f"{milliseconds // 1000}s" if whole else f"{milliseconds}ms"
            detection["baseEjectionTime"] = time
            notes.append(f"backoff -> baseEjectionTime: {time}, times the number of ejections")
    detection["maxEjectionPercent"] = 100
    notes.append("Linkerd takes out any number of endpoints -> maxEjectionPercent: 100")
    notes.append("a router's policy is for all services -> host *.local")
    spec = {"host": "*.local", "trafficPolicy": {"outlierDetection": detection}}
    return Converted(FORMAT, destination_rule("failure-accrual", spec, era), tuple(notes))


def _number(value: object, default: float) -> float:
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9
    return float(value) if ok else default  # type: ignore[arg-type]
