"""Small helpers to build xDS messages: packed ``Any``, Struct, percentages, string matches."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any as AnyType
from typing import cast

from betterproto2 import Message
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    Metadata,
    RuntimeFractionalPercent,
    SocketAddress,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import FractionalPercent, FractionalPercentDenominatorType
from envoy_data_plane.google.protobuf import Any, Struct
from envoy_data_plane.message_pool import default_message_pool

from mesh.istio.models.base import StringMatch
from mesh.pilot.encode import encode, sealed

PREFIX = "type.googleapis.com/"
CDS = PREFIX + "envoy.config.cluster.v3.Cluster"
EDS = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LDS = PREFIX + "envoy.config.listener.v3.Listener"
RDS = PREFIX + "envoy.config.route.v3.RouteConfiguration"
TYPES = (CDS, EDS, LDS, RDS)
"""Type URLs in the order in which they are sent (Envoy, "Eventual consistency considerations")."""
SHORT = {CDS: "CDS", EDS: "EDS", LDS: "LDS", RDS: "RDS"}


def pack(message: Message) -> Any:
    """Wrap a message with its type URL."""
    return Any(type_url=default_message_pool.type_to_url[type(message)], value=encode(message))


def struct(data: dict[str, AnyType]) -> Struct:
    """A JSON object as a message."""
    return cast(Struct, Struct.from_dict(data))


@cache
def ads() -> ConfigSource:
    """The config source "by ADS, the same stream"; one message for all, nobody may change it."""
    return sealed(ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3))


@lru_cache(maxsize=4096)
def origin(path: str, generation: int = 0) -> Metadata | None:
    """The metadata that names the resource something comes from; shared, nobody may change it.

    ``generation`` makes two versions of a cluster differ (``mesh.pilot.renewal``).
    """
    found = {"istio": struct({"config": path})} if path else {}
    if generation:
        found["mesh-lab-kit"] = struct({"generation": generation})
    return sealed(Metadata(filter_metadata=found)) if found else None


def address(host: str, port: int) -> Address:
    """A TCP address."""
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def fraction(percent: float) -> FractionalPercent:
    """0.0 to 100.0 percent in Istio's resolution, 0.0001."""
    return FractionalPercent(
        numerator=round(percent * 10_000), denominator=FractionalPercentDenominatorType.MILLION
    )


def runtime_fraction(percent: float) -> RuntimeFractionalPercent:
    """The same, where Envoy lets its runtime override it."""
    return RuntimeFractionalPercent(default_value=fraction(percent))


def regex(pattern: str) -> RegexMatcher:
    """RE2; Envoy matches the whole value."""
    return RegexMatcher(regex=pattern)


def string_match(match: StringMatch) -> StringMatcher | None:
    """Istio's StringMatch; None means "present": ``{}`` and the regex ``*``."""
    if match.exact is not None:
        return StringMatcher(exact=match.exact)
    if match.prefix is not None:
        return StringMatcher(prefix=match.prefix)
    if match.regex is not None and match.regex != "*":
        return StringMatcher(safe_regex=regex(match.regex))
    return None
