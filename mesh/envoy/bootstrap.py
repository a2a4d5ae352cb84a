"""Bootstrap: the little that an Envoy knows before the control plane tells it the rest.

Who it is (node), where its control plane listens (a static cluster), and its admin port.  In a
real mesh istio-agent writes this file; ``istioctl proxy-config bootstrap`` shows it.
Source: Envoy, config.bootstrap.v3.Bootstrap.
"""

from __future__ import annotations

from typing import Any

from mesh.stats_tags import STATS_TAGS

ADS_CLUSTER = "xds-grpc"
_INTERNAL = "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


_RUNTIME = {"re2.max_program_size.error_level": 32768, "tracing.zipkin.flush_interval_ms": 200}
"""Regular expressions: Istio's; Envoy by itself refuses those that compile to more than 100.

Spans: Envoy keeps them for 5 s, a student waits for them.
"""


def bootstrap(node: dict[str, Any], ads_socket: str, admin: int | str) -> dict[str, Any]:
    """Return the bootstrap as JSON data.

    ``node`` is the JSON form of an xDS node (``id``, ``cluster``, ``metadata``), ``ads_socket`` the
    Unix socket of the control plane, ``admin`` a port on 127.0.0.1 or the path of a Unix socket.
    """
    address: dict[str, Any] = {"socket_address": {"address": "127.0.0.1", "port_value": admin}}
    if isinstance(admin, str):
        address = {"pipe": {"path": admin, "mode": 0o666}}
    return {
        "node": node,
        "admin": {"address": address},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": ADS_CLUSTER}}],
                "set_node_on_first_message_only": True,
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
            "lds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
        },
        "stats_config": {
            "use_all_default_tags": False,
            "stats_tags": [{"tag_name": name, "regex": regex} for name, regex in STATS_TAGS],
        },
        "bootstrap_extensions": [
            {"name": "envoy.bootstrap.internal_listener", "typed_config": {"@type": _INTERNAL}}
        ],
        "layered_runtime": {"layers": [{"name": "global", "static_layer": _RUNTIME}]},
        "static_resources": {"clusters": [_ads_cluster(ads_socket)]},
    }


def _ads_cluster(ads_socket: str) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": ads_socket}}}}
    return {
        "name": ADS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": ADS_CLUSTER,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }
