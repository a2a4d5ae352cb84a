"""filter_chain_match: which filter chain of a listener serves a connection.

A listener may have several chains: one for mTLS and one for plaintext (PeerAuthentication
PERMISSIVE), one for each host of a gateway's certificates, one for each TCP port.  Envoy asks
the criteria in a fixed order and narrows the chains by each, the most specific value first; it
never goes back, so a chain that fits a later criterion better does not help.  When nothing is
left, ``default_filter_chain`` serves the connection, or it is closed.
See the chains with ``meshctl proxy-config listeners POD -o json``.

Source: Envoy ``api/envoy/config/listener/v3/listener_components.proto`` (FilterChainMatch),
``source/common/listener_manager/filter_chain_manager_impl.cc`` (findFilterChain).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from envoy_data_plane.envoy.config.core.v3 import CidrRange
from envoy_data_plane.envoy.config.listener.v3 import (
    FilterChainMatch,
    FilterChainMatchConnectionSourceType,
)

from mesh.sidecar.errors import ConfigRefusedError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """What is known of a connection: addresses are (IP, port); see ``listener_filters.facts``."""

    local: tuple[str, int]
    remote: tuple[str, int]
    transport_protocol: str = "raw_buffer"
    server_name: str = ""
    application_protocols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """A compiled FilterChainMatch; what is empty (0, "") accepts everything."""

    destination_port: int = 0
    destinations: tuple[Network, ...] = ()
    server_names: frozenset[str] = frozenset()
    transport_protocol: str = ""
    application_protocols: frozenset[str] = frozenset()
    direct_sources: tuple[Network, ...] = ()
    source_type: int = 0
    sources: tuple[Network, ...] = ()
    source_ports: frozenset[int] = frozenset()


def compile_match(config: FilterChainMatch | None) -> Match:
    """Compile ``config``.  Raises ConfigRefusedError for what cannot be executed."""
    if config is None:
        return Match()
    if config.address_suffix or config.suffix_len:
        raise ConfigRefusedError("filter_chain_match: address_suffix cannot be executed")
    for name in config.server_names:
        if "*" in name.removeprefix("*.") or not name:
            raise ConfigRefusedError(
                f"filter_chain_match: partial wildcards are not supported in server_names: {name!r}"
            )
    return Match(
        destination_port=config.destination_port or 0,
        destinations=_networks(config.prefix_ranges),
        # *.example.com is kept as .example.com
        server_names=frozenset(name.removeprefix("*").lower() for name in config.server_names),
        transport_protocol=config.transport_protocol,
        application_protocols=frozenset(config.application_protocols),
        direct_sources=_networks(config.direct_source_prefix_ranges),
        source_type=int(config.source_type),
        sources=_networks(config.source_prefix_ranges),
        source_ports=frozenset(config.source_ports),
    )


def _networks(ranges: Sequence[CidrRange]) -> tuple[Network, ...]:
    try:
        return tuple(
            ipaddress.ip_network(f"{item.address_prefix}/{item.prefix_len or 0}", strict=False)
            for item in ranges
        )
    except ValueError as error:
        raise ConfigRefusedError(f"filter_chain_match: {error}") from None


Chains = list[tuple[int, Match]]


def _by_address(ip: str, read: Callable[[Match], tuple[Network, ...]], chains: Chains) -> Chains:
    """Keep the chains whose network is the longest that holds ``ip``."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return [each for each in chains if not read(each[1])]
    best, length = [each for each in chains if not read(each[1])], -1
    for each in chains:
        for network in read(each[1]):
            if address not in network or network.prefixlen < length:
                continue
            if network.prefixlen > length:
                best, length = [], network.prefixlen
            best.append(each)
    return best


def _port(chains: Chains, facts: ConnectionFacts) -> Chains:
    own = [each for each in chains if each[1].destination_port == facts.local[1]]
    return own or [each for each in chains if not each[1].destination_port]


def _server_name(chains: Chains, facts: ConnectionFacts) -> Chains:
    name = facts.server_name
    names = [name] if name else []
    dot = name.find(".", 1)
    while 0 < dot < len(name) - 1:  # .example.com, .com
        names.append(name[dot:])
        dot = name.find(".", dot + 1)
    for wanted in names:
        if found := [each for each in chains if wanted in each[1].server_names]:
            return found
    return [each for each in chains if not each[1].server_names]


def _transport(chains: Chains, facts: ConnectionFacts) -> Chains:
    own = [each for each in chains if each[1].transport_protocol == facts.transport_protocol]
    return own or [each for each in chains if not each[1].transport_protocol]


def _application(chains: Chains, facts: ConnectionFacts) -> Chains:
    for wanted in facts.application_protocols:
        if found := [each for each in chains if wanted in each[1].application_protocols]:
            return found
    return [each for each in chains if not each[1].application_protocols]


def _source_type(chains: Chains, facts: ConnectionFacts) -> Chains:
    local = facts.remote[0] == facts.local[0] or facts.remote[0] in ("127.0.0.1", "::1", "")
    kind = FilterChainMatchConnectionSourceType
    wanted = int(kind.SAME_IP_OR_LOOPBACK if local else kind.EXTERNAL)
    own = [each for each in chains if each[1].source_type == wanted]
    return own or [each for each in chains if not each[1].source_type]


def _source_port(chains: Chains, facts: ConnectionFacts) -> Chains:
    own = [each for each in chains if facts.remote[1] in each[1].source_ports]
    return own or [each for each in chains if not each[1].source_ports]


_CRITERIA: tuple[Callable[[Chains, ConnectionFacts], Chains], ...] = (
    _port,
    lambda chains, facts: _by_address(facts.local[0], lambda match: match.destinations, chains),
    _server_name,
    _transport,
    _application,
    lambda chains, facts: _by_address(facts.remote[0], lambda match: match.direct_sources, chains),
    _source_type,
    lambda chains, facts: _by_address(facts.remote[0], lambda match: match.sources, chains),
    _source_port,
)


def choose(matches: Sequence[Match], facts: ConnectionFacts) -> int | None:
    """Return the place of the chain that serves ``facts``, or None when none does."""
    chains = list(enumerate(matches))
    for criterion in _CRITERIA:
        chains = criterion(chains, facts)
        if not chains:
            return None
    return chains[0][0]
