"""Header operations: ``set`` (overwrite), ``add`` (append), ``remove``, on request and response.

Istio's field is ``headers`` of a rule (``spec.http[].headers``) or of one destination of a split
(``spec.http[].route[].headers``).  ``host`` or ``:authority`` under ``request.set`` changes the
host.  Releases up to 1.3 had ``appendRequestHeaders`` and its like.
Shown by ``meshctl proxy-config route POD -o json`` (``requestHeadersToAdd``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)

from mesh.istio.models.virtual_service import HeaderOperations, HTTPRoute, HTTPRouteDestination

_AUTHORITY = ("host", ":authority")


@dataclass(slots=True)
class Operations:
    """Envoy's form; ``authority`` is the new host or ``""``."""

    request_add: list[HeaderValueOption] = field(default_factory=list)
    request_remove: list[str] = field(default_factory=list)
    response_add: list[HeaderValueOption] = field(default_factory=list)
    response_remove: list[str] = field(default_factory=list)
    authority: str = ""


def operations(owner: HTTPRoute | HTTPRouteDestination) -> Operations:
    """Read the header operations of a rule or of one destination."""
    out = Operations()
    request = (owner.headers.request if owner.headers else None) or HeaderOperations()
    response = (owner.headers.response if owner.headers else None) or HeaderOperations()
    for name, value in (request.set or {}).items():
        if name.lower() in _AUTHORITY:
            out.authority = value
        else:
            out.request_add.append(_option(name, value, overwrite=True))
    old = owner.append_headers if isinstance(owner, HTTPRoute) else None
    for name, value in {
        **(request.add or {}),
        **(old or {}),
        **(owner.append_request_headers or {}),
    }.items():
        out.request_add.append(_option(name, value, overwrite=False))
    out.request_remove = [*(request.remove or []), *(owner.remove_request_headers or [])]
    out.response_add = [_option(*each, overwrite=True) for each in (response.set or {}).items()]
    for name, value in {**(response.add or {}), **(owner.append_response_headers or {})}.items():
        out.response_add.append(_option(name, value, overwrite=False))
    out.response_remove = [*(response.remove or []), *(owner.remove_response_headers or [])]
    return out


def _option(name: str, value: str, *, overwrite: bool) -> HeaderValueOption:
    action = HeaderValueOptionHeaderAppendAction
    return HeaderValueOption(
        header=HeaderValue(key=name, value=value),
        append_action=action.OVERWRITE_IF_EXISTS_OR_ADD
        if overwrite
        else action.APPEND_IF_EXISTS_OR_ADD,
    )
