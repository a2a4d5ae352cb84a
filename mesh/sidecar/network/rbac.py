"""Network RBAC: whether this caller may connect, for connections that carry no HTTP.

AuthorizationPolicies in front of a TCP port become this filter: principals (from the client's
certificate), addresses, ports, server name.  Refused: the connection is closed, and its log line
says ``rbac_access_denied_matched_policy[...]`` in ``connection_termination_details``.
See it with ``meshctl logs POD`` and the counters ``NAME.rbac.denied`` of the admin port.

Source: Envoy ``source/extensions/filters/network/rbac/rbac_filter.cc``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy_data_plane.envoy.extensions.filters.network.rbac.v3 import Rbac as RbacConfig

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.filters.head import RequestHead
from mesh.sidecar.filters.rbac import Engine
from mesh.sidecar.filters.rbac_facts import RequestFacts
from mesh.sidecar.stream_info import ConnectionInfo

if TYPE_CHECKING:
    from mesh.sidecar.network import NetworkContext


def facts_of(connection: ConnectionInfo) -> RequestFacts:
    """Collect the facts of a connection; there is no request."""
    peer = connection.peer
    return RequestFacts(
        RequestHead("", "", "", "", []),
        encrypted=connection.tls is not None,
        names=(*peer.uri_sans, *peer.dns_sans, peer.subject) if peer is not None else (),
        direct=connection.remote[0],
        remote=connection.remote[0],
        local=connection.local[0],
        port=connection.local[1],
        server_name=connection.server_name,
    )


class NetworkRbac:
    """The filter ``envoy.filters.network.rbac``."""

    def __init__(self, config: RbacConfig, context: NetworkContext) -> None:
        """Compile ``config``.  Raises ConfigRefusedError or ValueError."""
        if config.matcher is not None or config.shadow_matcher is not None:
            raise ConfigRefusedError("rbac: matcher trees cannot be executed")
        self._engine = Engine(config.rules) if config.rules is not None else None
        self._shadow = Engine(config.shadow_rules) if config.shadow_rules is not None else None
        self._stats = context.filters.stats
        self._prefix = f"{config.stat_prefix.removesuffix('.')}.rbac."

    def admit(self, connection: ConnectionInfo) -> str:
        """Return the termination details of a refusal, or nothing."""
        facts = facts_of(connection)
        if self._shadow is not None:
            word = "allowed" if self._shadow.decide(facts).allowed else "denied"
            self._stats.inc(f"{self._prefix}shadow_{word}")
        if self._engine is None:
            return ""
        decision = self._engine.decide(facts)
        self._stats.inc(self._prefix + ("allowed" if decision.allowed else "denied"))
        return "" if decision.allowed else decision.details
