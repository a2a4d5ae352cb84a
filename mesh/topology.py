"""Topology: which services, versions and pods a lab runs, and how they may be reached.

In Kubernetes these are Namespace, Service, Deployment and ServiceAccount objects; a lab or a
conformance case writes them down as plain data (``topology:`` in ``lab.yaml``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

DOMAIN_SUFFIX = "cluster.local"
ROOT_NAMESPACE = "istio-system"
"""Namespace whose resources hold for the whole mesh (``meshConfig.rootNamespace``)."""
INJECT = "sidecar.istio.io/inject"
"""Label of a pod; "false": it gets no sidecar."""
TLS_MODE, ISTIO = "security.istio.io/tlsMode", "istio"
"""Label and its value that the injection gives to pods whose sidecar can speak mutual TLS."""
EGRESS = "egressgateway"
"""Value of the label ``istio`` of the egress gateway's pods, by which Gateways select them."""
HTTPS = frozenset({443, 8443})
"""Ports at which names outside of the mesh speak TLS."""

TCP_PROTOCOLS = ("tcp", "mongo", "mysql", "redis", "tls", "https")
"""Protocols of a Service's port whose bytes a sidecar passes on as they are."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a Service; ``protocol`` is Istio's: http, http2, grpc, https, tls, tcp."""

    number: int = 8080
    name: str = "http"
    protocol: str = "http"


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment: ``replicas`` pods with the same application, labels and service account.

    ``app`` names the application factory (``services.customer``), ``options`` are handed to it.
    ``version`` becomes the label ``version``; ``labels`` adds to ``app`` and ``version``.
    ``code`` and ``filter`` are of a lab whose students write them: a file's name, and once the
    grader has it, the command that runs it beside the application (``services.handed_in``) or the
    sidecar (``mesh.sidecar.handed_in_filter``).
    """

    name: str
    app: str
    version: str = "v1"
    replicas: int = 1
    labels: dict[str, str] = field(default_factory=dict)
    service_account: str = ""
    options: dict[str, object] = field(default_factory=dict)
    locality: str = ""
    code: tuple[str, ...] = ()
    filter: tuple[str, ...] = ()

    @property
    def injected(self) -> bool:
        """Whether its pods get a sidecar."""
        return self.labels.get(INJECT) != "false"


@dataclass(frozen=True, slots=True)
class Service:
    """A Service: a stable name whose endpoints are the pods of its workloads.

    ``export_to`` is the annotation ``networking.istio.io/exportTo``; empty: every namespace.
    """

    name: str
    namespace: str = "tutorial"
    ports: tuple[Port, ...] = (Port(),)
    workloads: tuple[Workload, ...] = ()
    export_to: tuple[str, ...] = ()

    @property
    def hostname(self) -> str:
        """The fully qualified name, ``recommendation.tutorial.svc.cluster.local``."""
        return f"{self.name}.{self.namespace}.svc.{DOMAIN_SUFFIX}"


@dataclass(frozen=True, slots=True)
class Outside:
    """A host outside of the mesh, such as edition.cnn.com, and the ports at which it answers.

    443 and 8443 are HTTPS.
    """

    name: str
    ports: tuple[int, ...] = (80,)


@dataclass(frozen=True, slots=True)
class Topology:
    """All services of a mesh; ``gateway`` names the ingress gateway, ``""`` for none.

    ``ingress``: whether a Gateway and a VirtualService that lead to the first service come with it.
    ``egress_gateway`` names the gateway for what leaves the mesh, ``""`` for none.
    ``world`` are the names outside that can be looked up; one application answers for them.
    ``outbound_policy`` is ``meshConfig.outboundTrafficPolicy.mode``; ``""``: the era's default.
    ``l5d_dtab``: whether sidecars obey Linkerd's routing header.
    ``sampling``: ``meshConfig.defaultConfig.tracing.sampling``, percent of the requests that become
    spans (Istio's default is 1, here all are traced); a Telemetry goes before it.
    ``extension_providers``: ``meshConfig.extensionProviders`` in Istio's own words
    (``mesh.istio.extension_providers``).
    """

    services: tuple[Service, ...]
    namespace: str = "tutorial"
    gateway: str = "istio-ingressgateway"
    egress_gateway: str = ""
    ingress: bool = True
    world: tuple[Outside, ...] = ()
    outbound_policy: str = ""
    l5d_dtab: bool = False
    sampling: float = 100.0
    extension_providers: tuple[dict[str, object], ...] = ()

    @property
    def all_services(self) -> tuple[Service, ...]:
        """The services, and the one of the egress gateway, to which sidecars send."""
        if not self.egress_gateway:
            return self.services
        return (*self.services, egress_service(self.egress_gateway))

    @property
    def encrypted(self) -> bool:
        """Whether some name outside answers over HTTPS."""
        return any(HTTPS & set(each.ports) for each in self.world)


def egress_service(name: str) -> Service:
    """Return the Service of an egress gateway as Istio's installation has it.

    Its account is the one of Istio's manifests, which rules of then name in ``subjectAltNames``.
    """
    account = f"{name}-service-account"
    labels = {"app": name, "istio": EGRESS}
    return Service(
        name,
        ROOT_NAMESPACE,
        (Port(80, "http2", "http2"), Port(443, "https", "https")),
        (Workload(name, "", labels=labels, service_account=account),),
    )


@dataclass(frozen=True, slots=True)
class Pod:
    """One running pod, as the control plane knows it.

    ``address``:``ports`` is where other sidecars reach it (the inbound listener of its own
    sidecar, or the application itself where there is none): service port -> listening port.
    Locally the address is 127.0.0.1.
    """

    name: str
    namespace: str
    service: str
    workload: str
    labels: dict[str, str]
    service_account: str
    address: str
    ports: dict[int, int]
    locality: str = ""
