"""Fault injection: break the network on purpose, to see who copes (the chaos test).

Istio's field is ``spec.http[].fault``: ``delay`` (wait, flag DI) and ``abort`` (answer an error,
flag FI), each for a ``percentage`` of the requests, decided independently; without a percentage
it never fires.  It happens in the caller's sidecar before its router: the same rule's timeout and
retries do not see it.  Shown by ``meshctl proxy-config route POD -o json``.
"""

from __future__ import annotations

from betterproto2 import Message
from envoy_data_plane.envoy.extensions.filters.common.fault.v3 import FaultDelay
from envoy_data_plane.envoy.extensions.filters.http.fault.v3 import FaultAbort, HttpFault

from mesh.istio.models.virtual_service import (
    GRPC_STATUS,
    Abort,
    Delay,
    HTTPFaultInjection,
)
from mesh.pilot.translate import messages

FILTER = "envoy.filters.http.fault"


def per_route(fault: HTTPFaultInjection | None) -> dict[str, Message]:
    """Return the fault filter's configuration for one route."""
    if fault is None:
        return {}
    out = HttpFault()
    if fault.delay is not None and fault.delay.fixed_delay is not None:
        out.delay = FaultDelay(
            fixed_delay=fault.delay.fixed_delay, percentage=messages.fraction(_percent(fault.delay))
        )
    if fault.abort is not None:
        out.abort = FaultAbort(percentage=messages.fraction(_percent(fault.abort)))
        if fault.abort.grpc_status:
            out.abort.grpc_status = GRPC_STATUS.index(fault.abort.grpc_status)
        else:
            out.abort.http_status = fault.abort.http_status or 0
    return {FILTER: out}


def _percent(part: Delay | Abort) -> float:
    if part.percentage is not None:
        return part.percentage.value or 0.0
    return float(part.percent or 0)
