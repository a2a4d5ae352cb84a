"""Header propagation: the one thing that an application must do for its mesh.

A sidecar sees a request come in and another go out; only the application knows that the second
was made because of the first.  By copying these headers it ties them together: the tracing
headers make one trace out of the hops, ``x-request-id`` one request, and ``user-preference`` and
``baggage-user-agent`` let a rule deep inside the mesh match on who the user is, ``l5d-dtab``
(Linkerd) routes this one request otherwise.
See it with ``meshctl curl / -H 'user-preference: 123'`` and ``meshctl logs``.

Sources: Istio, "Distributed tracing overview" (which headers to forward); openzipkin/b3-propagation;
W3C Trace Context; istio-tutorial, CustomerResource.java and PreferenceResource.java.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from werkzeug.datastructures import Headers

TRACING = (
    "x-request-id",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "b3",
    "traceparent",
    "tracestate",
)
"""Names are lower-case, as in HTTP/2; look-ups in a request's headers ignore case."""

LINKERD = ("l5d-dtab", "l5d-ctx-dtab", "l5d-ctx-trace", "l5d-ctx-deadline")
"""Linkerd 1 has applications forward its context, so its routing holds for all hops."""

USER = ("baggage-user-agent", "user-preference", "authorization")


def forwarded(headers: Headers) -> dict[str, str]:
    """Select the headers of an incoming request that go with every request made because of it."""
    return {name: headers[name] for name in (*TRACING, *LINKERD, *USER) if name in headers}


def forwarded_from_edge(headers: Headers) -> dict[str, str]:
    """As ``forwarded``, at the first service: the browser's User-Agent becomes baggage."""
    found = forwarded(headers)
    if "user-agent" in headers:
        found["baggage-user-agent"] = headers["user-agent"]
    return found
