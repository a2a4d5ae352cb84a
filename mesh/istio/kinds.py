"""Which kinds there are, in which API versions, from which release of Istio to which.

An API server answers ``no matches for kind`` when a release does not know a kind; the lecture's
Policy, ServiceRole and Mixer kinds are gone since 1.6 and 1.8, Telemetry came with 1.11.  The
table here is the one place that says so.  Source: istio/istio ``manifests/charts/base/files``
and the release notes.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh.istio.elsewhere import CLUSTER_SCOPED, ELSEWHERE
from mesh.istio.eras import Era
from mesh.istio.models import (
    gateway_api,
    kubernetes,
    legacy_authentication,
    legacy_mixer,
    legacy_rbac,
)
from mesh.istio.models.authorization_policy import AuthorizationPolicy
from mesh.istio.models.base import Model
from mesh.istio.models.destination_rule import DestinationRule
from mesh.istio.models.envoy_filter import EnvoyFilter
from mesh.istio.models.gateway import Gateway
from mesh.istio.models.peer_authentication import PeerAuthentication
from mesh.istio.models.proxy_config import ProxyConfig
from mesh.istio.models.request_authentication import RequestAuthentication
from mesh.istio.models.service_entry import ServiceEntry
from mesh.istio.models.sidecar import Sidecar
from mesh.istio.models.telemetry import Telemetry
from mesh.istio.models.virtual_service import VirtualService
from mesh.istio.models.wasm_plugin import WasmPlugin
from mesh.istio.models.workload_entry import WorkloadEntry
from mesh.istio.models.workload_group import WorkloadGroup

type Release = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: its API group and versions, its model, the releases that know it.

    ``whole`` means that the model reads the object itself, not its ``spec`` (ServiceAccount).
    ``until`` is the last release that knew it; None: still known.
    """

    name: str
    group: str
    versions: tuple[str, ...]
    model: type[Model]
    since: Release = (0, 0)
    until: Release | None = None
    whole: bool = False
    namespaced: bool = True

    @property
    def read(self) -> bool:
        """Whether the kit reads this kind; others are accepted, without effect."""
        return self.model is not kubernetes.NotRead

    def known_in(self, era: Era) -> bool:
        """True when the release of the era serves this kind."""
        return self.since <= era.release and (self.until is None or era.release <= self.until)

    def api_version(self, era: Era) -> str:
        """Return the apiVersion to write in this era."""
        best = self.versions[-1]
        if self.group == NETWORKING and era.preferred_networking_version in self.versions:
            best = era.preferred_networking_version
        return f"{self.group}/{best}" if self.group else best


NETWORKING = "networking.istio.io"
_ALL = ("v1alpha3", "v1beta1", "v1")

SECURITY = "security.istio.io"
GATEWAY_API = "gateway.networking.k8s.io"
_RBAC = ("rbac.istio.io", "config.istio.io")
MIXER = "config.istio.io"
_BETA = ("v1beta1", "v1")
_GATEWAY_VERSIONS = ("v1alpha2", "v1beta1", "v1")

_MIXER_MODELS: dict[str, type[Model]] = {
    "rule": legacy_mixer.MixerRule,
    "instance": legacy_mixer.Instance,
    "handler": legacy_mixer.Handler,
    "denier": legacy_mixer.Denier,
    "listchecker": legacy_mixer.ListChecker,
    "memquota": legacy_mixer.MemQuota,
    "quota": legacy_mixer.QuotaTemplate,
    "metric": legacy_mixer.MetricTemplate,
    "QuotaSpec": legacy_mixer.QuotaSpec,
    "QuotaSpecBinding": legacy_mixer.QuotaSpecBinding,
}
_MIXER_OTHERS = (
    "adapter apikey attributemanifest authorization bypass checknothing circonus fluentd "
    "kubernetes kubernetesenv listentry logentry noop opa prometheus rbac redisquota "
    "reportnothing stackdriver statsd stdio template tracespan"
)


def _legacy() -> list[Kind]:
    policy, rbac = legacy_authentication.Policy, legacy_rbac
    kinds = [
        Kind("Policy", "authentication.istio.io", ("v1alpha1",), policy, until=(1, 5)),
        Kind(
            "MeshPolicy",
            "authentication.istio.io",
            ("v1alpha1",),
            policy,
            until=(1, 5),
            namespaced=False,
        ),
    ]
    roles: dict[str, type[Model]] = {
        "ServiceRole": rbac.ServiceRole,
        "ServiceRoleBinding": rbac.ServiceRoleBinding,
        "ClusterRbacConfig": rbac.RbacConfig,
        "RbacConfig": rbac.RbacConfig,
    }
    for group in _RBAC:
        version = "v1alpha1" if group == "rbac.istio.io" else "v1alpha2"
        for name, model in roles.items():
            cluster = name == "ClusterRbacConfig"
            kinds.append(Kind(name, group, (version,), model, until=(1, 5), namespaced=not cluster))
    mixer = dict.fromkeys(_MIXER_OTHERS.split(), legacy_mixer.MixerParams) | _MIXER_MODELS
    kinds += [
        Kind(name, MIXER, ("v1alpha2",), model, until=(1, 7)) for name, model in mixer.items()
    ]
    return kinds


def _elsewhere() -> list[Kind]:
    return [
        Kind(
            name,
            group,
            versions,
            kubernetes.NotRead,
            whole=True,
            namespaced=name not in CLUSTER_SCOPED,
        )
        for group, (versions, names) in ELSEWHERE.items()
        for name in names.split()
    ]


KINDS: tuple[Kind, ...] = (
    Kind("VirtualService", NETWORKING, _ALL, VirtualService),
    Kind("DestinationRule", NETWORKING, _ALL, DestinationRule),
    Kind("Gateway", NETWORKING, _ALL, Gateway),
    Kind("ServiceEntry", NETWORKING, _ALL, ServiceEntry),
    Kind("Sidecar", NETWORKING, _ALL, Sidecar, since=(1, 1)),
    Kind("WorkloadEntry", NETWORKING, _ALL, WorkloadEntry, since=(1, 6)),
    Kind("WorkloadGroup", NETWORKING, _ALL, WorkloadGroup, since=(1, 8)),
    Kind("EnvoyFilter", NETWORKING, ("v1alpha3",), EnvoyFilter),
    Kind("ProxyConfig", NETWORKING, ("v1beta1",), ProxyConfig, since=(1, 13)),
    Kind("PeerAuthentication", SECURITY, _BETA, PeerAuthentication, since=(1, 5)),
    Kind("RequestAuthentication", SECURITY, _BETA, RequestAuthentication, since=(1, 5)),
    Kind("AuthorizationPolicy", SECURITY, _BETA, AuthorizationPolicy, since=(1, 4)),
    Kind("Telemetry", "telemetry.istio.io", ("v1alpha1", "v1"), Telemetry, since=(1, 11)),
    Kind("WasmPlugin", "extensions.istio.io", ("v1alpha1",), WasmPlugin, since=(1, 12)),
    Kind("Gateway", GATEWAY_API, _GATEWAY_VERSIONS, gateway_api.KubernetesGateway, since=(1, 9)),
    Kind("HTTPRoute", GATEWAY_API, _GATEWAY_VERSIONS, gateway_api.HTTPRoute, since=(1, 9)),
    Kind(
        "ReferenceGrant", GATEWAY_API, _GATEWAY_VERSIONS, gateway_api.ReferenceGrant, since=(1, 13)
    ),
    Kind("Service", "", ("v1",), kubernetes.Service),
    Kind("Pod", "", ("v1",), kubernetes.Pod),
    Kind("Deployment", "apps", ("v1beta1", "v1beta2", "v1"), kubernetes.Deployment),
    Kind("StatefulSet", "apps", ("v1beta1", "v1beta2", "v1"), kubernetes.Deployment),
    Kind("DaemonSet", "apps", ("v1beta2", "v1"), kubernetes.Deployment),
    Kind("Deployment", "extensions", ("v1beta1",), kubernetes.Deployment, until=(1, 9)),
    Kind("ServiceAccount", "", ("v1",), kubernetes.ServiceAccount, whole=True),
    Kind("Namespace", "", ("v1",), kubernetes.Namespace, namespaced=False),
    Kind("ConfigMap", "", ("v1",), kubernetes.ConfigData, whole=True),
    Kind("Secret", "", ("v1",), kubernetes.ConfigData, whole=True),
    *_legacy(),
    *_elsewhere(),
)


def kinds_named(name: str) -> list[Kind]:
    """Return the kinds of this name, several when several groups have it (Gateway)."""
    return [kind for kind in KINDS if kind.name == name]


def qualified(api_version: str, name: str) -> str:
    """Return a kind as kubectl tells two of one name apart: ``Gateway.gateway.networking.k8s.io``.

    Only the Gateway API's Gateway needs it; every other kind is its own name.
    """
    group = api_version.rpartition("/")[0]
    return f"{name}.{group}" if (group, name) == (GATEWAY_API, "Gateway") else name


def find_kind(api_version: str, name: str) -> Kind | None:
    """Return the kind of an apiVersion and a kind as written, None when there is none."""
    group, _, version = api_version.rpartition("/")
    for kind in KINDS:
        if kind.name == name and kind.group == group and version in kind.versions:
            return kind
    return None
