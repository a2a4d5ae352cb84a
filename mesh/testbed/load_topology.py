"""Reads ``topology:`` of a lab or a conformance case: which services a mesh consists of.

    topology:
      namespace: tutorial              # default
      gateway: istio-ingressgateway    # default; false for none
      egress_gateway: true             # istio-egressgateway in istio-system; default false
      ingress: true                    # default; false: nothing leads from it into the mesh yet
      outbound_policy: REGISTRY_ONLY   # meshConfig.outboundTrafficPolicy; default: the era's
      sampling: 1                      # percent of requests that are traced; default 100 (Istio: 1)
      l5d_dtab: true                   # obey Linkerd's routing header; default false
      extension_providers:             # meshConfig.extensionProviders, in Istio's words
        - name: guard
          envoyExtAuthzHttp: {service: guard.tutorial.svc.cluster.local, port: 8000}
      world:                           # hosts outside of the mesh, played by services.external
        edition.cnn.com:
        httpbin.org: {ports: [80, 443, 8000]}                      # default 80; 443, 8443: HTTPS
      services:
        customer:                      # one workload, customer-v1, with services.customer
        recommendation:
          ports: [{number: 8080, name: http, protocol: http}]      # default
          workloads:
            - version: v1
            - version: v2
              replicas: 2
              options: {delay: 3}      # for the application

Further keys of a workload: ``name`` (<service>-<version>), ``app`` (the service's name if there is
such an application, else ``scripted``), ``labels`` (beside app and version), ``service_account``
(the service's name), ``locality`` (region/zone/subzone), ``code`` and ``filter`` (files that a lab's
students write: which headers an application passes on, a filter of the sidecar).  ``export_to`` of a service is the
annotation ``networking.istio.io/exportTo``: a list of namespaces, ``.``, ``*`` or ``~``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from mesh.istio import extension_providers
from mesh.topology import Outside, Port, Service, Topology, Workload

OUTBOUND_POLICIES = ("REGISTRY_ONLY", "ALLOW_ANY")
APPS = (
    "customer",
    "ext_authz",
    "preference",
    "recommendation",
    "reports",
    "scripted",
    "shop",
    "tcp_echo",
    "grpc_echo",
)

INGRESS_YAML = """\
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata:
  name: customer-gateway
  namespace: {namespace}
spec:
  selector:
    istio: ingressgateway
  servers:
    - port: {{number: 80, name: http, protocol: HTTP}}
      hosts: ["*"]
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: customer-gateway
  namespace: {namespace}
spec:
  hosts: ["*"]
  gateways: [customer-gateway]
  http:
    - match:
        - uri: {{prefix: /customer/}}
        - uri: {{prefix: /customer}}
      rewrite: {{uri: /}}
      route:
        - destination: {{host: {service}, port: {{number: {port}}}}}
    - route:
        - destination: {{host: {service}, port: {{number: {port}}}}}
"""


class TopologyError(Exception):
    """The topology cannot be read; one sentence: where, what was read, what to do."""


_PROTOCOLS = ("http", "http2", "grpc", "grpc-web", "https", "tls", "tcp")


def standard_topology(recommendation_replicas: int = 1) -> Topology:
    """Return the lecture's mesh: customer, preference, recommendation v1 and v2."""
    versions = [{"version": v, "replicas": recommendation_replicas} for v in ("v1", "v2")]
    return load_topology(
        {
            "services": {
                "customer": None,
                "preference": None,
                "recommendation": {"workloads": versions},
            }
        }
    )


def ingress_yaml(topology: Topology) -> str:
    """Return the default way in: the gateway sends everything to the first service.

    ``/customer`` is rewritten to ``/`` as in the tutorial.  ``""`` without a gateway or a service,
    or where the topology wants none.
    """
    if not (topology.gateway and topology.services and topology.ingress):
        return ""
    names = [service.name for service in topology.services]
    first = topology.services[names.index("customer") if "customer" in names else 0]
    return INGRESS_YAML.format(
        namespace=topology.namespace,
        service=f"{first.name}.{first.namespace}.svc.cluster.local",
        port=first.ports[0].number,
    )


def load_topology(raw: object, where: str = "topology") -> Topology:
    """Build a Topology from plain data; TopologyError for whatever is wrong with it."""
    top = _mapping(raw, where, set(Topology.__dataclass_fields__))
    namespace = _text(top.get("namespace", "tutorial"), f"{where}.namespace")
    ingress = top.get("ingress", True)
    if not isinstance(ingress, bool):
        raise TopologyError(f"{where}.ingress: true or false is needed, not {ingress!r}")
    services = top.get("services")
    if not isinstance(services, Mapping) or not services:
        raise TopologyError(
            f"{where}.services: write one entry per service, for instance `customer:`"
        )
    return Topology(
        services=tuple(
            _service(_text(name, f"{where}.services"), item, namespace, f"{where}.services.{name}")
            for name, item in services.items()
        ),
        namespace=namespace,
        gateway=_gateway(top.get("gateway", True), "istio-ingressgateway", f"{where}.gateway"),
        egress_gateway=_gateway(
            top.get("egress_gateway", False), "istio-egressgateway", f"{where}.egress_gateway"
        ),
        ingress=ingress,
        world=_world(top.get("world"), f"{where}.world"),
        l5d_dtab=_flag(top.get("l5d_dtab", False), f"{where}.l5d_dtab"),
        outbound_policy=_policy(top.get("outbound_policy", ""), f"{where}.outbound_policy"),
        sampling=_percent(top.get("sampling", 100.0), f"{where}.sampling"),
        extension_providers=_providers(
            top.get("extension_providers"), f"{where}.extension_providers"
        ),
    )


def _providers(raw: object, where: str) -> tuple[dict[str, object], ...]:
    try:
        extension_providers.read(raw, where)
    except ValueError as error:
        raise TopologyError(str(error)) from None
    return tuple(dict(each) for each in raw) if isinstance(raw, list) else ()


def _world(raw: object, where: str) -> tuple[Outside, ...]:
    if isinstance(raw, list):
        raw = {str(each): None for each in raw}
    found = []
    for name, item in _mapping(raw, where, None).items():
        here = f"{where}.{name}"
        if "." not in name:
            raise TopologyError(f"{here}: a host outside has a dot in its name")
        ports = _mapping(item, here, {"ports"}).get("ports", [80])
        if not isinstance(ports, list) or not ports:
            raise TopologyError(f"{here}.ports: a list of ports is needed, not {ports!r}")
        numbers = tuple(_number(port, f"{here}.ports", 1, 65535) for port in ports)
        found.append(Outside(name.lower(), numbers))
    return tuple(found)


def _gateway(raw: object, default: str, where: str) -> str:
    if isinstance(raw, bool):
        return default if raw else ""
    return _text(raw, where, empty=True)


def _flag(raw: object, where: str) -> bool:
    if not isinstance(raw, bool):
        raise TopologyError(f"{where}: true or false is needed, not {raw!r}")
    return raw


def _percent(raw: object, where: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not 0 <= raw <= 100:
        raise TopologyError(f"{where}: a number from 0 to 100 is needed, not {raw!r}")
    return float(raw)


def _policy(raw: object, where: str) -> str:
    if raw not in ("", *OUTBOUND_POLICIES):
        raise TopologyError(f"{where}: one of {', '.join(OUTBOUND_POLICIES)}, not {raw!r}")
    return str(raw)


def _service(name: str, raw: object, namespace: str, where: str) -> Service:
    keys = {item for item in Workload.__dataclass_fields__ if item != "name"}
    item = _mapping(raw, where, {"namespace", "ports", "workloads", "export_to", *keys})
    workloads = item.get("workloads")
    if workloads is None:  # the short form: one workload, its keys beside the service's
        workloads = [{key: value for key, value in item.items() if key in keys}]
    elif stray := sorted(keys & set(item)):
        raise TopologyError(f"{where}.{stray[0]}: write it in an entry of {where}.workloads")
    if not isinstance(workloads, list):
        raise TopologyError(f"{where}.workloads: a list is needed, not {workloads!r}")
    ports = item.get("ports", [{}])
    if not isinstance(ports, list) or not ports:
        raise TopologyError(f"{where}.ports: a list of ports is needed, not {ports!r}")
    return Service(
        name=name,
        namespace=_text(item.get("namespace", namespace), f"{where}.namespace"),
        ports=tuple(_port(port, f"{where}.ports[{n}]") for n, port in enumerate(ports)),
        workloads=tuple(
            _workload(name, each, f"{where}.workloads[{n}]") for n, each in enumerate(workloads)
        ),
        export_to=_texts(item.get("export_to"), f"{where}.export_to"),
    )


def _port(raw: object, where: str) -> Port:
    if isinstance(raw, int):
        raw = {"number": raw}
    item = _mapping(raw, where, {"number", "name", "protocol"})
    name = _text(item.get("name", "http"), f"{where}.name")
    return Port(
        number=_number(item.get("number", 8080), f"{where}.number", 1, 65535),
        name=name,
        protocol=_text(item.get("protocol") or _protocol_of(name), f"{where}.protocol").lower(),
    )


def _protocol_of(name: str) -> str:
    """Read a port's protocol from its name, ``PROTOCOL`` or ``PROTOCOL-whatever``, as Istio does."""
    protocol = "grpc-web" if name.startswith("grpc-web") else name.partition("-")[0]
    return protocol if protocol in _PROTOCOLS else "http"


def _workload(service: str, raw: object, where: str) -> Workload:
    item = _mapping(raw, where, set(Workload.__dataclass_fields__))
    version = _text(item.get("version", "v1"), f"{where}.version")
    app = _text(item.get("app", service if service in APPS else "scripted"), f"{where}.app")
    if app.removeprefix("services.") not in APPS:
        raise TopologyError(f"{where}.app: no application {app!r}; there are {', '.join(APPS)}")
    labels = _mapping(item.get("labels"), f"{where}.labels", None)
    return Workload(
        name=_text(item.get("name", f"{service}-{version}"), f"{where}.name"),
        app="services." + app.removeprefix("services."),
        version=version,
        replicas=_number(item.get("replicas", 1), f"{where}.replicas", 0, 100),
        labels={str(key): str(value) for key, value in labels.items()},
        service_account=_text(item.get("service_account", service), f"{where}.service_account"),
        options=_mapping(item.get("options"), f"{where}.options", None),
        locality=_text(item.get("locality", ""), f"{where}.locality", empty=True),
        code=_file(item.get("code"), f"{where}.code"),
        filter=_file(item.get("filter"), f"{where}.filter"),
    )


def _file(raw: object, where: str) -> tuple[str, ...]:
    return () if raw is None else (_text(raw, where),)


def _mapping(raw: object, where: str, keys: set[str] | None) -> dict[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise TopologyError(f"{where}: a mapping is needed, not {raw!r}")
    found = {str(key): value for key, value in raw.items()}
    for key in found if keys is not None else ():
        if keys is not None and key not in keys:
            near = difflib.get_close_matches(key, keys, 1)
            advice = (
                f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(keys))}"
            )
            raise TopologyError(f"{where}: no key {key!r}: {advice}")
    return found


def _text(raw: object, where: str, *, empty: bool = False) -> str:
    if not isinstance(raw, str) or (not raw and not empty):
        raise TopologyError(f"{where}: a text is needed, not {raw!r} (put it in quotes)")
    return raw


def _texts(raw: object, where: str) -> tuple[str, ...]:
    if raw is not None and not isinstance(raw, list):
        raise TopologyError(f"{where}: a list is needed, not {raw!r}")
    return tuple(_text(each, f"{where}[{n}]") for n, each in enumerate(raw or []))


def _number(raw: object, where: str, low: int, high: int) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not low <= raw <= high:
        raise TopologyError(f"{where}: a number from {low} to {high} is needed, not {raw!r}")
    return raw
