"""proxy-config: a snapshot as tables, the ones ``istioctl proxy-config`` prints.

Each function returns rows of text under the columns in ``COLUMNS``.  Pure.
Shown by ``meshctl proxy-config clusters|listeners|routes|endpoints POD``.
"""

from __future__ import annotations

from collections.abc import Callable

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import Address, Metadata
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import Route, RouteConfiguration, RouteMatch
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
)

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
    """Return a row for each endpoint, as configured (what is ejected only the proxy knows)."""
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
        for manager in _of(listener):
            if manager.rds is not None:
                target = f"Route: {manager.rds.route_config_name}"
            else:
                target = (
                    f"Inline Route: {manager.route_config.name}" if manager.route_config else "-"
                )
            rows.append([name, host, port, "ALL", target])
    return rows


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
    if match.path is not None:
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
