"""Which rules are for which model, and which kinds have no effect here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from mesh.istio.models import (
    authorization_policy,
    destination_rule,
    envoy_filter,
    gateway,
    gateway_api,
    legacy_authentication,
    legacy_mixer,
    legacy_rbac,
    peer_authentication,
    proxy_config,
    request_authentication,
    service_entry,
    sidecar,
    telemetry,
    virtual_service,
    wasm_plugin,
    workload_entry,
    workload_group,
)
from mesh.istio.validate.authentication import (
    check_legacy_policy,
    check_peer_authentication,
    check_request_authentication,
)
from mesh.istio.validate.authorization_policy import check_authorization_policy
from mesh.istio.validate.destination_rule import check_destination_rule
from mesh.istio.validate.envoy_filter import check_envoy_filter
from mesh.istio.validate.findings import Findings
from mesh.istio.validate.gateway import check_gateway
from mesh.istio.validate.gateway_api import check_http_route
from mesh.istio.validate.gateway_api_listeners import check_kubernetes_gateway
from mesh.istio.validate.legacy_rbac import (
    check_rbac_config,
    check_service_role,
    check_service_role_binding,
)
from mesh.istio.validate.mixer import check_dimensions, check_rule
from mesh.istio.validate.service_entry import (
    check_service_entry,
    check_workload_entry,
    check_workload_group,
)
from mesh.istio.validate.sidecar import check_sidecar
from mesh.istio.validate.telemetry import (
    check_proxy_config,
    check_telemetry,
    check_wasm_plugin,
)
from mesh.istio.validate.virtual_service import check_virtual_service

type Check = Callable[[Any, Findings], None]

CHECKS: dict[type[BaseModel], Check] = {
    virtual_service.VirtualService: check_virtual_service,
    destination_rule.DestinationRule: check_destination_rule,
    gateway.Gateway: check_gateway,
    gateway_api.KubernetesGateway: check_kubernetes_gateway,
    gateway_api.HTTPRoute: check_http_route,
    service_entry.ServiceEntry: check_service_entry,
    workload_entry.WorkloadEntry: check_workload_entry,
    workload_group.WorkloadGroup: check_workload_group,
    sidecar.Sidecar: check_sidecar,
    envoy_filter.EnvoyFilter: check_envoy_filter,
    authorization_policy.AuthorizationPolicy: check_authorization_policy,
    peer_authentication.PeerAuthentication: check_peer_authentication,
    request_authentication.RequestAuthentication: check_request_authentication,
    telemetry.Telemetry: check_telemetry,
    proxy_config.ProxyConfig: check_proxy_config,
    wasm_plugin.WasmPlugin: check_wasm_plugin,
    legacy_authentication.Policy: check_legacy_policy,
    legacy_rbac.ServiceRole: check_service_role,
    legacy_rbac.ServiceRoleBinding: check_service_role_binding,
    legacy_rbac.RbacConfig: check_rbac_config,
    legacy_mixer.MixerRule: check_rule,
    legacy_mixer.QuotaTemplate: check_dimensions,
    legacy_mixer.MetricTemplate: check_dimensions,
}

#: Kinds that load and that nothing in the kit executes.
WITHOUT_EFFECT = frozenset(
    [
        "WasmPlugin",
        "ProxyConfig",
        "WorkloadGroup",
        "adapter",
        "apikey",
        "attributemanifest",
        "authorization",
        "bypass",
        "circonus",
        "fluentd",
        "kubernetes",
        "kubernetesenv",
        "noop",
        "opa",
        "rbac",
        "redisquota",
        "reportnothing",
        "stackdriver",
        "statsd",
        "template",
        "tracespan",
    ]
)
