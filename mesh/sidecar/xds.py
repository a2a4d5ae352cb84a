"""Read the typed configurations inside xDS messages, with reasons when that fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

# Importing a module of types makes its messages known to ``Any.unpack``.
import envoy_data_plane.envoy.config.trace.v3
import envoy_data_plane.envoy.extensions.access_loggers.file.v3
import envoy_data_plane.envoy.extensions.filters.http.cors.v3
import envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3
import envoy_data_plane.envoy.extensions.filters.http.fault.v3
import envoy_data_plane.envoy.extensions.filters.http.header_to_metadata.v3
import envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3
import envoy_data_plane.envoy.extensions.filters.http.local_ratelimit.v3
import envoy_data_plane.envoy.extensions.filters.http.rbac.v3
import envoy_data_plane.envoy.extensions.filters.http.router.v3
import envoy_data_plane.envoy.extensions.filters.listener.http_inspector.v3
import envoy_data_plane.envoy.extensions.filters.listener.tls_inspector.v3
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3
import envoy_data_plane.envoy.extensions.filters.network.rbac.v3
import envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3
import envoy_data_plane.envoy.extensions.transport_sockets.raw_buffer.v3
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3
import envoy_data_plane.envoy.extensions.upstreams.http.v3  # noqa: F401
from betterproto2 import Message
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.message_pool import default_message_pool

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.filters.routing import RouteTable
from mesh.sidecar.upstream.hash_policy import compile_hash_policy
from mesh.sidecar.upstream.retries import compile_retries


def unpack(packed: Any, where: str) -> Message:
    """Unpack a ``google.protobuf.Any``.  Raises ConfigRefusedError naming an unknown type."""
    if packed is None:
        raise ConfigRefusedError(f"{where}: typed_config is missing")
    if packed.type_url not in default_message_pool.url_to_type:
        raise ConfigRefusedError(f"{where}: unknown type {packed.type_url!r}")
    try:
        message = packed.unpack()
    except Exception as error:
        raise ConfigRefusedError(f"{where}: cannot decode {packed.type_url}: {error}") from None
    assert isinstance(message, Message)
    return message


def seconds(value: timedelta | None, default: float) -> float:
    """Return ``value`` in seconds, or ``default`` when it is not set."""
    return default if value is None else value.total_seconds()


def compile_routes(config: RouteConfiguration) -> RouteTable:
    """Compile a route configuration.  Raises ConfigRefusedError with its name and the reason."""
    try:
        for host in config.virtual_hosts:
            for route in host.routes:
                if route.route is not None:
                    compile_retries(route.route.retry_policy or host.retry_policy)
                    compile_hash_policy(route.route.hash_policy)
        return RouteTable.compile(config)
    except ValueError as error:
        raise ConfigRefusedError(f"route configuration {config.name!r}: {error}") from None
