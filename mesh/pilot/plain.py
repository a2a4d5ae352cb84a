"""Plain: xDS messages of which there are very many are made without the library's validation.

pydantic checks every field of a betterproto2 message when it is made, with a validator for up to a
hundred fields; that was half of the time of a translation.  The classes below hold nothing that a
user wrote as a number: what goes into them is the translation's own, and mypy has checked it.  The
messages are the same as the library's (the tests compare them).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterEdsClusterConfig
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    Metadata,
    SocketAddress,
    TransportSocket,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.route.v3 import RouteMatch, VirtualHost
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import UpstreamTlsContext
from envoy_data_plane.google import protobuf

CLASSES: tuple[type[Message], ...] = (
    Cluster,
    ClusterEdsClusterConfig,
    Address,
    Metadata,
    SocketAddress,
    TransportSocket,
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
    RouteMatch,
    VirtualHost,
    UpstreamTlsContext,
    protobuf.Any,
    protobuf.Struct,
    protobuf.Value,
    protobuf.Duration,
    protobuf.BoolValue,
)


def make_plain() -> None:
    """Have these classes made without validation, in this process."""
    for each in CLASSES:
        setattr(each, "__init__", _init(each))  # noqa: B010 (mypy knows that it is a method)


def _init(kind: type[Message]) -> Callable[..., None]:
    """Return what fills a new message: the class's own defaults, and what is given."""
    fields = [each for each in dataclasses.fields(cast(Any, kind)) if each.init]
    names = frozenset(each.name for each in fields)
    values: dict[str, Any] = {"_unknown_fields": b""}
    containers: list[tuple[str, Callable[[], Any]]] = []
    library = kind()
    for each in fields:
        default = vars(library)[each.name]
        if isinstance(default, list | dict):
            containers.append((each.name, type(default)))
        else:
            values[each.name] = default

    order = [each.name for each in fields]

    def init(self: Message, *first: Any, **given: Any) -> None:
        given.update(zip(order, first, strict=False))
        if not given.keys() <= names:
            raise TypeError(f"{kind.__name__} has no field {min(given.keys() - names)}")
        filled = vars(self)
        filled.update(values)
        for name, container in containers:
            if name not in given:
                filled[name] = container()
        filled.update(given)

    return init
