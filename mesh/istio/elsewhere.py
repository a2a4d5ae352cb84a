"""Kinds that a cluster serves and the kit does not read: accepted, without effect, and said to be so.

Whoever tries a folder of a real cluster's manifests here has Ingresses, Jobs and GatewayClasses beside
what Istio executes.  Source: the API reference of Kubernetes, of the Gateway API and its extensions.
"""

from __future__ import annotations

_GATEWAY = ("v1alpha2", "v1alpha3", "v1beta1", "v1")
_BETA = ("v1beta1", "v1")

ELSEWHERE: dict[str, tuple[tuple[str, ...], str]] = {
    "": (
        ("v1",),
        "Endpoints Event LimitRange Node PersistentVolume PersistentVolumeClaim PodTemplate "
        "ReplicationController ResourceQuota",
    ),
    "admissionregistration.k8s.io": (
        _BETA,
        "MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding "
        "ValidatingWebhookConfiguration",
    ),
    "apiextensions.k8s.io": (_BETA, "CustomResourceDefinition"),
    "apps": (("v1beta1", "v1beta2", "v1"), "ControllerRevision ReplicaSet"),
    "autoscaling": (("v1", "v2beta1", "v2beta2", "v2"), "HorizontalPodAutoscaler"),
    "batch": (_BETA, "CronJob Job"),
    "coordination.k8s.io": (_BETA, "Lease"),
    "discovery.k8s.io": (_BETA, "EndpointSlice"),
    "extensions": (("v1beta1",), "DaemonSet Ingress NetworkPolicy ReplicaSet"),
    "gateway.networking.k8s.io": (
        _GATEWAY,
        "BackendTLSPolicy GRPCRoute GatewayClass ListenerSet TCPRoute TLSRoute UDPRoute",
    ),
    "monitoring.coreos.com": (("v1",), "PodMonitor PrometheusRule ServiceMonitor"),
    "networking.k8s.io": (_BETA, "Ingress IngressClass NetworkPolicy"),
    "policy": (_BETA, "PodDisruptionBudget PodSecurityPolicy"),
    "rbac.authorization.k8s.io": (
        _BETA,
        "ClusterRole ClusterRoleBinding Role RoleBinding",
    ),
    "scheduling.k8s.io": (_BETA, "PriorityClass"),
    "storage.k8s.io": (_BETA, "StorageClass"),
}
"""API group -> (its versions, its kinds)."""

CLUSTER_SCOPED = frozenset(
    [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "GatewayClass",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "Node",
        "PersistentVolume",
        "PodSecurityPolicy",
        "PriorityClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    ]
)


def kinds() -> frozenset[str]:
    """Return the names of all these kinds."""
    return frozenset(name for _, names in ELSEWHERE.values() for name in names.split())
