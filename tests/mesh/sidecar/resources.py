"""Resources of xDS as plain data: clusters, routes and listeners as the tests write them."""

from __future__ import annotations

from typing import Any

from mesh.accesslog import JSON_FORMAT
from tests.mesh.sidecar.ads_server import TYPE


def cluster(name: str, *endpoints: int | str, **extra: Any) -> dict[str, Any]:
    """A STATIC cluster of ports and Unix socket paths."""
    return {
        "name": name,
        "type": "STATIC",
        "connectTimeout": "1s",
        "loadAssignment": assignment(name, *endpoints),
        **extra,
    }


def assignment(name: str, *endpoints: int | str) -> dict[str, Any]:
    items = []
    for where in endpoints:
        address: dict[str, Any] = {"pipe": {"path": where}}
        if isinstance(where, int):
            address = {"socketAddress": {"address": "127.0.0.1", "portValue": where}}
        items.append({"endpoint": {"address": address}})
    return {"clusterName": name, "endpoints": [{"lbEndpoints": items}] if items else []}


def eds_cluster(name: str) -> dict[str, Any]:
    source = {"edsConfig": {"ads": {}, "resourceApiVersion": "V3"}}
    return {"name": name, "type": "EDS", "connectTimeout": "1s", "edsClusterConfig": source}


def route(prefix: str, to: str, **extra: Any) -> dict[str, Any]:
    action = {"cluster": to, "timeout": "0s", **extra}
    return {"name": f"to-{to}", "match": {"prefix": prefix}, "route": action}


def routes(*entries: dict[str, Any], name: str = "http_proxy", **extra: Any) -> dict[str, Any]:
    host = {"name": "all", "domains": ["*"], "routes": list(entries), **extra}
    return {"name": name, "virtualHosts": [host]}


ROUTER = {
    "name": "envoy.filters.http.router",
    "typedConfig": {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"},
}


def listener(
    name: str,
    port: int,
    table: dict[str, Any] | None,
    log: str = "",
    filters: list[dict[str, Any]] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """A listener with inline routes, or with RDS ``http_proxy`` when ``table`` is None."""
    hcm: dict[str, Any] = {
        "@type": TYPE
        + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "statPrefix": name,
        "httpFilters": filters or [ROUTER],
        **extra,
    }
    if table is None:
        hcm["rds"] = {"routeConfigName": "http_proxy", "configSource": {"ads": {}}}
    else:
        hcm["routeConfig"] = table
    if log:
        fields = {**JSON_FORMAT, "direction": "outbound"}
        hcm["accessLog"] = [
            {
                "name": "file",
                "typedConfig": {
                    "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": log,
                    "logFormat": {"jsonFormat": fields},
                },
            }
        ]
    address = {"socketAddress": {"address": "127.0.0.1", "portValue": port}}
    return {
        "name": name,
        "address": address,
        "filterChains": [{"filters": [{"name": "hcm", "typedConfig": hcm}]}],
    }
