"""proxy-config: a snapshot as tables, the ones ``istioctl proxy-config`` prints.

Each function returns rows of text under the columns in ``COLUMNS``.  Pure.
Shown by ``meshctl proxy-config clusters|listeners|routes|endpoints POD``.
"""

from __future__ import annotations

from collections.abc import Callable

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import Address, Metadata
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import FilterChain, Listener
from envoy_data_plane.envoy.config.route.v3 import Route, RouteConfiguration, RouteMatch
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
)
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import TcpProxy

from mesh.pilot.translate import CDS, EDS, LDS, RDS, Snapshot, names

Rows = list[list[str]]
COLUMNS: dict[str, list[str]] = {
    "clusters": ["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"],
    "listeners": ["NAME", "ADDRESS", "PORT", "MATCH", "DESTINATION"],
    "routes": ["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"],
    "endpoints": ["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"],
}


def clusters(snapshot: Snapshot) -> Rows:
    """Return a row for each cluster."""
    rows: Rows = []
    for name in sorted(snapshot[CDS]):
        cluster = snapshot[CDS][name]
        assert isinstance(cluster, Cluster)
        direction, port, subset, hostname = names.parse(name)
        kind = cluster.type.name if cluster.type is not None else "STATIC"
        rows.append(
            [
                hostname or "-",
                str(port or "-"),
                subset or "-",
                direction or "-",
                kind or "-",
                _config(cluster.metadata),
            ]
        )
    return rows


def endpoints(snapshot: Snapshot) -> Rows:
    """Return a row for each endpoint, as the control plane says (what is ejected only the proxy knows)."""
    rows: Rows = []
    for name in sorted(snapshot[EDS]):
        assignment = snapshot[EDS][name]
        assert isinstance(assignment, ClusterLoadAssignment)
        rows += [[each, "HEALTHY", "OK", name] for each in _addresses(assignment)]
    for name in sorted(snapshot[CDS]):
        cluster = snapshot[CDS][name]
        if isinstance(cluster, Cluster) and cluster.load_assignment is not None:
            rows += [[each, "HEALTHY", "OK", name] for each in _addresses(cluster.load_assignment)]
    return rows


def routes(snapshot: Snapshot) -> Rows:
    """Return a row for each route of each virtual host."""
    rows: Rows = []
    for name in sorted(snapshot[RDS]):
        table = snapshot[RDS][name]
        assert isinstance(table, RouteConfiguration)
        rows += _table(table)
    for manager in _managers(snapshot):
        if manager.route_config is not None:
            rows += _table(manager.route_config)
    return rows


def listeners(snapshot: Snapshot) -> Rows:
    """Return a row for each listener."""
    rows: Rows = []
    for name in sorted(snapshot[LDS]):
        listener = snapshot[LDS][name]
        assert isinstance(listener, Listener)
        host, _, port = _address(listener.address).rpartition(":")
        for chain in listener.filter_chains:
            rows.append([name, host, port, _conditions(chain), _target(chain)])
    return rows


def _conditions(chain: FilterChain) -> str:
    """Return whom a filter chain serves, in istioctl's words."""
    match = chain.filter_chain_match
    if match is None:
        return "ALL"
    parts = []
    if match.server_names:
        parts.append(f"SNI: {','.join(match.server_names)}")
    if match.transport_protocol:
        parts.append(f"Trans: {match.transport_protocol}")
    if match.application_protocols:
        parts.append(f"App: {','.join(match.application_protocols)}")
    ranges = [f"{each.address_prefix}/{each.prefix_len or 0}" for each in match.prefix_ranges]
    if ranges or match.destination_port:
        port = f":{match.destination_port}" if match.destination_port else ""
        parts.append(f"Addr: {','.join(ranges) or '*'}{port}")
    return "; ".join(parts) or "ALL"


def _target(chain: FilterChain) -> str:
    packed = chain.filters[-1].typed_config if chain.filters else None
    last = packed.unpack() if packed is not None else None
    if isinstance(last, TcpProxy):
        weighted = last.weighted_clusters.clusters if last.weighted_clusters else []
        shares = [f"{each.weight} {each.name}" for each in weighted]
        return f"Cluster: {last.cluster or ', '.join(shares)}"
    if not isinstance(last, HttpConnectionManager):
        return "-"
    if last.rds is not None:
        return f"Route: {last.rds.route_config_name}"
    return f"Inline Route: {last.route_config.name}" if last.route_config else "-"


VIEWS: dict[str, Callable[[Snapshot], Rows]] = {
    "clusters": clusters,
    "listeners": listeners,
    "routes": routes,
    "endpoints": endpoints,
}


def _table(table: RouteConfiguration) -> Rows:
    rows: Rows = []
    for host in table.virtual_hosts:
        domains = ", ".join(host.domains[:2])
        if len(host.domains) > 2:
            domains += f" + {len(host.domains) - 2} more..."
        rows += [
            [table.name, host.name, domains, _match(route.match), _service(route)]
            for route in host.routes
        ] or [[table.name, host.name, domains, "-", "404"]]
    return rows


def _service(route: Route) -> str:
    if route.direct_response is not None and route.metadata is None:
        return str(route.direct_response.status)
    return _config(route.metadata)


def _match(match: RouteMatch | None) -> str:
    """Return a route's conditions in istioctl's short form (``/prefix*``, ``regex ...``)."""
    if match is None:
        return "/*"
    if match.connect_matcher is not None:
        text = "CONNECT"
    elif match.path is not None:
        text = match.path
    elif match.safe_regex is not None:
        text = f"regex {match.safe_regex.regex}"
    elif match.path_separated_prefix is not None:
        text = f"PathPrefix:{match.path_separated_prefix}"
    else:
        text = f"{match.prefix or '/'}*"
    more = [each.name for each in match.headers] + [
        f"?{each.name}" for each in match.query_parameters
    ]
    return f"{text} [{', '.join(more)}]" if more else text


def _config(metadata: Metadata | None) -> str:
    """Return ``name.namespace`` of the resource that the metadata names."""
    found = metadata.filter_metadata.get("istio") if metadata else None
    path = str(found.to_dict().get("config", "")) if found else ""
    parts = path.split("/")
    return f"{parts[-1]}.{parts[-3]}" if len(parts) > 3 else ""


def _addresses(assignment: ClusterLoadAssignment) -> list[str]:
    return [
        _address(each.endpoint.address)
        for locality in assignment.endpoints
        for each in locality.lb_endpoints
        if each.endpoint is not None
    ]


def _address(address: Address | None) -> str:
    if address is not None and address.socket_address is not None:
        return f"{address.socket_address.address}:{address.socket_address.port_value or 0}"
    return f"unix://{address.pipe.path}" if address is not None and address.pipe else "-"


def _managers(snapshot: Snapshot) -> list[HttpConnectionManager]:
    found: list[HttpConnectionManager] = []
    for name in sorted(snapshot[LDS]):
        listener = snapshot[LDS][name]
        if isinstance(listener, Listener):
            found += _of(listener)
    return found


def _of(listener: Listener) -> list[HttpConnectionManager]:
    packed = [each.typed_config for chain in listener.filter_chains for each in chain.filters]
    unpacked = [each.unpack() for each in packed if each is not None]
    return [each for each in unpacked if isinstance(each, HttpConnectionManager)]
