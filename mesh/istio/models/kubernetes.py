"""The Kubernetes objects that a topology needs: Service, Deployment, Pod, ServiceAccount, Namespace.

A Service finds pods by label and gives them a name; its port names (``http-...``) or
``appProtocol`` tell Istio the protocol.  Pods carry the labels that subsets select.  What the kit
does not read (probes, volumes, resources) is accepted and left alone.
Fields: k8s.io/api ``core/v1``, ``apps/v1``.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

from mesh.istio.metadata import ObjectMeta
from mesh.istio.models.base import Int32, KubernetesModel, Model, StringMap


def _int_or_string(value: object) -> int | str:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError("expected a port number or the name of a port")


IntOrString = Annotated[
    int | str,
    PlainValidator(_int_or_string),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
]


class ServicePort(Model):
    """A port of a Service and the port of its pods."""

    name: str | None = None
    protocol: str | None = None
    app_protocol: str | None = None
    port: Int32
    target_port: IntOrString | None = None
    node_port: Int32 | None = None


class Service(Model):
    """``spec`` of a Service."""

    ports: list[ServicePort] | None = None
    selector: StringMap | None = None
    type: str | None = None
    cluster_ip: str | None = Field(default=None, alias="clusterIP")
    cluster_ips: list[str] | None = Field(default=None, alias="clusterIPs")
    external_ips: list[str] | None = Field(default=None, alias="externalIPs")
    load_balancer_ip: str | None = Field(default=None, alias="loadBalancerIP")
    load_balancer_class: str | None = None
    load_balancer_source_ranges: list[str] | None = None
    allocate_load_balancer_node_ports: bool | None = None
    external_name: str | None = None
    external_traffic_policy: str | None = None
    internal_traffic_policy: str | None = None
    traffic_distribution: str | None = None
    health_check_node_port: Int32 | None = None
    ip_families: list[str] | None = None
    ip_family: str | None = None
    ip_family_policy: str | None = None
    publish_not_ready_addresses: bool | None = None
    session_affinity: str | None = None
    session_affinity_config: dict[str, Any] | None = None


class ContainerPort(KubernetesModel):
    """A port of a container."""

    name: str | None = None
    container_port: Int32
    protocol: str | None = None


class SecurityContext(KubernetesModel):
    """As whom a container (or all of a pod) runs."""

    run_as_user: int | None = None


class Container(KubernetesModel):
    """A container: name, image, ports, and what it is told."""

    name: str
    image: str | None = None
    ports: list[ContainerPort] | None = None
    env: list[dict[str, Any]] | None = None
    args: list[str] | None = None
    command: list[str] | None = None
    security_context: SecurityContext | None = None


class Pod(KubernetesModel):
    """``spec`` of a Pod."""

    containers: list[Container]
    init_containers: list[Container] | None = None
    service_account_name: str | None = None
    service_account: str | None = None
    hostname: str | None = None
    subdomain: str | None = None
    host_network: bool | None = None
    security_context: SecurityContext | None = None


class PodTemplate(KubernetesModel):
    """The pods that a Deployment makes."""

    metadata: ObjectMeta | None = None
    spec: Pod | None = None


class KubernetesLabelSelector(Model):
    """The pods that belong to a Deployment."""

    match_labels: StringMap | None = None
    match_expressions: list[dict[str, Any]] | None = None


class Deployment(KubernetesModel):
    """``spec`` of a Deployment; one replica when it says nothing."""

    replicas: Int32 | None = None
    selector: KubernetesLabelSelector | None = None
    template: PodTemplate


class ServiceAccount(KubernetesModel):
    """A ServiceAccount: the identity of its pods in mTLS."""

    automount_service_account_token: bool | None = None


class Namespace(KubernetesModel):
    """A Namespace; its label ``istio-injection`` decides about sidecars."""


class NotRead(KubernetesModel):
    """An object of a kind that the kit accepts and does not read (``mesh.istio.elsewhere``)."""


class ConfigData(KubernetesModel):
    """A ConfigMap or a Secret; a Secret's ``data`` is base64."""

    type: str | None = None
    data: StringMap | None = None
    string_data: StringMap | None = None
