"""Preload: pay once, before a fork, what every sidecar would pay at its first configuration.

The typed xDS messages check themselves by schemas that are built when a class is first used,
which costs seconds of CPU.  The preloaded process calls ``preload``; the sidecars forked from it
inherit the schemas and are ready in a fraction of a second.
"""

from __future__ import annotations

from typing import Any

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, OutlierDetection
from envoy_data_plane.envoy.config.core.v3 import Node, TransportSocket
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    Resource,
)
from envoy_data_plane.google.protobuf import Any as Packed
from envoy_data_plane.google.rpc import Status

from mesh.sidecar.xds import unpack

_TYPE = "type.googleapis.com/envoy."
_FILTERS = _TYPE + "extensions.filters.http."
_HEADER: dict[str, Any] = {"header": {"key": "a", "value": "b"}}
_PERCENT: dict[str, Any] = {"defaultValue": {"numerator": 1}}
_METADATA: dict[str, Any] = {"filterMetadata": {"envoy.lb": {"pod": "a", "n": 1}}}

_ENDPOINTS: dict[str, Any] = {
    "clusterName": "a",
    "endpoints": [
        {
            "locality": {"region": "a"},
            "loadBalancingWeight": 1,
            "lbEndpoints": [
                {
                    "endpoint": {"address": {"socketAddress": {"address": "a", "portValue": 1}}},
                    "metadata": _METADATA,
                    "loadBalancingWeight": 1,
                },
                {"endpoint": {"address": {"pipe": {"path": "a"}}}},
            ],
        }
    ],
}
_OPTIONS: dict[str, Any] = {
    "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
    "commonHttpProtocolOptions": {"idleTimeout": "1s", "maxRequestsPerConnection": 1},
    "explicitHttpConfig": {"httpProtocolOptions": {}},
}
_CLUSTER: dict[str, Any] = {
    "name": "a",
    "type": "EDS",
    "connectTimeout": "1s",
    "edsClusterConfig": {"edsConfig": {"ads": {}, "resourceApiVersion": "V3"}},
    "loadAssignment": _ENDPOINTS,
    "circuitBreakers": {"thresholds": [{"maxRetries": 1, "retryBudget": {}}]},
    "commonLbConfig": {"healthyPanicThreshold": {"value": 1}},
    "commonHttpProtocolOptions": {"idleTimeout": "1s"},
    "ringHashLbConfig": {"minimumRingSize": 1},
    "metadata": _METADATA,
    "typedExtensionProtocolOptions": {"a": _OPTIONS},
    "transportSocketMatches": [
        {"name": "a", "match": {"a": "b"}, "transportSocket": {"name": "a"}}
    ],
}
_RETRIES: dict[str, Any] = {
    "retryOn": "5xx",
    "numRetries": 1,
    "perTryTimeout": "1s",
    "retryBackOff": {"baseInterval": "1s"},
    "retryHostPredicate": [{"name": "a"}],
}
_ACTION: dict[str, Any] = {
    "timeout": "0s",
    "retryPolicy": _RETRIES,
    "requestMirrorPolicies": [{"cluster": "a", "runtimeFraction": _PERCENT}],
    "hashPolicy": [{"header": {"headerName": "a"}}, {"cookie": {"name": "a", "ttl": "1s"}}],
    "weightedClusters": {"clusters": [{"name": "a", "weight": 1}]},
    "upgradeConfigs": [{"upgradeType": "websocket"}],
}
_MATCHES: list[dict[str, Any]] = [
    {"path": "/", "headers": [{"name": "a", "stringMatch": {"exact": "a"}}]},
    {"safeRegex": {"regex": "a"}, "headers": [{"name": "a", "presentMatch": True}]},
    {
        "prefix": "/",
        "caseSensitive": False,
        "queryParameters": [{"name": "a", "stringMatch": {"safeRegex": {"regex": "a"}}}],
        "runtimeFraction": _PERCENT,
    },
]
_FAULT: dict[str, Any] = {
    "@type": _FILTERS + "fault.v3.HTTPFault",
    "delay": {"fixedDelay": "1s", "percentage": {"numerator": 1}},
    "abort": {"httpStatus": 500, "percentage": {"numerator": 1}},
}
_CORS: dict[str, Any] = {
    "@type": _FILTERS + "cors.v3.CorsPolicy",
    "allowOriginStringMatch": [{"exact": "a"}],
    "filterEnabled": _PERCENT,
}
_ROUTES: dict[str, Any] = {
    "name": "a",
    "virtualHosts": [
        {
            "name": "a",
            "domains": ["*"],
            "routes": [
                {
                    "name": "a",
                    "match": match,
                    "route": _ACTION,
                    "requestHeadersToAdd": [_HEADER],
                    "typedPerFilterConfig": {"a": _FAULT, "b": _CORS},
                }
                for match in _MATCHES
            ]
            + [
                {"match": {"prefix": "/"}, "redirect": {"hostRedirect": "a"}},
                {
                    "match": {"prefix": "/"},
                    "directResponse": {"status": 200, "body": {"inlineString": "a"}},
                },
            ],
        }
    ],
}
_LOG: dict[str, Any] = {
    "@type": _TYPE + "extensions.access_loggers.file.v3.FileAccessLog",
    "path": "a",
    "logFormat": {"jsonFormat": {"a": "b"}},
}
_HCM: dict[str, Any] = {
    "@type": _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "rds": {"routeConfigName": "a", "configSource": {"ads": {}, "resourceApiVersion": "V3"}},
    "accessLog": [{"name": "a", "typedConfig": _LOG}],
    "upgradeConfigs": [{"upgradeType": "websocket"}],
    "httpFilters": [
        {"name": "a", "typedConfig": _FAULT},
        {"name": "b", "typedConfig": {"@type": _FILTERS + "cors.v3.Cors"}},
        {"name": "c", "typedConfig": {"@type": _FILTERS + "router.v3.Router"}},
    ],
}
_TLS = _TYPE + "extensions.transport_sockets.tls.v3."
_SDS: dict[str, Any] = {"name": "a", "sdsConfig": {"pathConfigSource": {"path": "a"}}}
_NAMES: dict[str, Any] = {
    "trustedCa": {"filename": "a"},
    "matchTypedSubjectAltNames": [{"sanType": "URI", "matcher": {"exact": "a"}}],
}
_COMMON: dict[str, Any] = {
    "tlsParams": {},
    "tlsCertificateSdsSecretConfigs": [_SDS],
    "combinedValidationContext": {
        "defaultValidationContext": _NAMES,
        "validationContextSdsSecretConfig": _SDS,
    },
}
_DOWNSTREAM: dict[str, Any] = {
    "@type": _TLS + "DownstreamTlsContext",
    "commonTlsContext": _COMMON,
    "requireClientCertificate": True,
}
_UPSTREAM: dict[str, Any] = {
    "@type": _TLS + "UpstreamTlsContext",
    "commonTlsContext": _COMMON,
    "sni": "a",
}
_SECRETS: list[dict[str, Any]] = [
    {
        "@type": _TLS + "Secret",
        "name": "a",
        "tlsCertificate": {"certificateChain": {"filename": "a"}, "privateKey": {"filename": "a"}},
    },
    {"@type": _TLS + "Secret", "name": "a", "validationContext": _NAMES},
]
_INSPECTOR = _TYPE + "extensions.filters.listener.tls_inspector.v3.TlsInspector"
_LISTENER: dict[str, Any] = {
    "name": "a",
    "address": {"socketAddress": {"address": "a", "portValue": 1}},
    "listenerFilters": [{"name": "a", "typedConfig": {"@type": _INSPECTOR}}],
    "filterChains": [
        {
            "filterChainMatch": {"transportProtocol": "tls", "serverNames": ["a"]},
            "filters": [{"name": "a", "typedConfig": _HCM}],
            "transportSocket": {"name": "a", "typedConfig": _DOWNSTREAM},
        }
    ],
}


def preload() -> None:
    """Build the schemas by reading a configuration that uses them; starts nothing."""
    cluster = Cluster.from_dict(_CLUSTER)
    cluster.transport_socket = TransportSocket.from_dict({"name": "a", "typedConfig": _UPSTREAM})
    cluster.outlier_detection = OutlierDetection(consecutive_5xx=1)
    Cluster.parse(bytes(cluster))
    ClusterLoadAssignment.parse(bytes(ClusterLoadAssignment.from_dict(_ENDPOINTS)))
    RouteConfiguration.parse(bytes(RouteConfiguration.from_dict(_ROUTES)))
    listener = Listener.parse(bytes(Listener.from_dict(_LISTENER)))
    manager: Any = unpack(listener.filter_chains[0].filters[0].typed_config, "preload")
    secrets = [Packed.from_dict(each) for each in _SECRETS]
    sockets = [listener.filter_chains[0].transport_socket, cluster.transport_socket]
    for packed in [*secrets, *(each.typed_config for each in sockets if each is not None)]:
        unpack(packed, "preload")
    for item in [*manager.http_filters, *manager.access_log]:
        unpack(item.typed_config, "preload")
    resource = Resource(name="a", version="1", resource=Packed.pack(cluster))
    response = DeltaDiscoveryResponse(type_url="a", nonce="1", resources=[resource])
    DeltaDiscoveryResponse.parse(bytes(response))
    status = Status(code=1, message="a")
    request = DeltaDiscoveryRequest(node=Node(id="a"), type_url="a", error_detail=status)
    request.initial_resource_versions = {"a": "1"}
    bytes(request)
