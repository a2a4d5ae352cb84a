"""``metadata`` of a Kubernetes object, as a student writes it or ``kubectl get -o yaml`` prints it.

Source: k8s.io/apimachinery ``pkg/apis/meta/v1/types.go``, ObjectMeta.
"""

from __future__ import annotations

from typing import Any

from mesh.istio.models.base import Model, StringMap


class ObjectMeta(Model):
    """Name, namespace, labels, annotations; the rest is the API server's and left alone."""

    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    labels: StringMap | None = None
    annotations: StringMap | None = None
    creation_timestamp: Any = None
    deletion_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    finalizers: Any = None
    generation: Any = None
    managed_fields: Any = None
    owner_references: Any = None
    resource_version: Any = None
    self_link: Any = None
    cluster_name: Any = None
    initializers: Any = None
    uid: Any = None
