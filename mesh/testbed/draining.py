"""Draining: a pod that is moved on purpose ends without a failed request.

First it leaves the load balancing: every sidecar has endpoints (EDS) without it, and closes its idle
connections to it.  Then its own sidecar says ``connection: close`` with each further answer, and it
ends when nobody is connected any more, or when its time is over.  Istio's pilot-agent does the second
half at SIGTERM: ``POST /drain_listeners?inboundonly&graceful``, then ``terminationDrainDuration`` (5 s),
or with EXIT_ON_ZERO_ACTIVE_CONNECTIONS until ``downstream_cx_active`` is 0; Kubernetes kills after
``terminationGracePeriodSeconds`` (30 s).  Shown by ``meshctl restart recommendation`` under load.
Source: istio/istio ``pkg/envoy/agent.go`` (terminate, activeProxyConnections).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import psutil

from mesh.envoy.admin import Admin, AdminError
from mesh.testbed.client import TestbedError
from mesh.testbed.pods import LocalPod

GRACE_SECONDS = 30.0
"""Kubernetes' ``terminationGracePeriodSeconds``."""
LEFT = "gets no new requests"
"""How it is told that a pod has left the load balancing."""
_PAUSE = 0.02
"""Seconds between two looks: neither Envoy nor the kernel gives a sign when the last client leaves
(Envoy's gauges are to be asked, as pilot-agent does each second; the kernel's own broadcast of
connections that end, ``SKNLGRP_INET_TCP_DESTROY``, takes NET_ADMIN)."""


def drain(pod: LocalPod, grace: float, clients_of: Callable[[LocalPod], int]) -> int:
    """Wait until nobody is connected to ``pod``; return how many still are after ``grace`` seconds.

    ``clients_of`` counts them, as ``connected`` does.  It has left the load balancing.  Raises TestbedError when its sidecar does not answer.
    """
    end = time.monotonic() + grace
    try:
        if pod.injected:
            Admin(pod.node.admin).drain_listeners()
        while left := clients_of(pod):
            if time.monotonic() > end:
                return left
            time.sleep(_PAUSE)
    except AdminError as problem:
        raise TestbedError(f"{pod.name}: {problem}") from None
    return 0


def connected(pod: LocalPod) -> int:
    """Return how many clients are connected to a pod.  Raises AdminError.

    Without a sidecar nobody counts them but the kernel, this machine's here; of a pod in containers
    its door asks (``mesh.testbed.compose.door``).
    """
    if not pod.injected:
        found = psutil.net_connections("tcp")
        open_ones = [each for each in found if each.status == psutil.CONN_ESTABLISHED]
        return sum(1 for each in open_ones if each.laddr and each.laddr.port in pod.ports)
    ports = "|".join(str(port) for port in pod.node.inbound_ports.values())
    # Before the listener filters are done a connection is a "pre" one.
    pattern = rf"^listener\..*_({ports})\.downstream_(pre_)?cx_active$"
    stats = Admin(pod.node.admin).stats(pattern)
    return sum(value for name, value in stats.items() if re.search(pattern, name))
