"""A request without a mesh: translated as for a real one, matched as the sidecar does.

The same functions decide as at run time: ``mesh.pilot.translate`` writes the route table,
``mesh.sidecar.filters.routing`` reads it.  What is left out is what time decides: answers of
applications, retries that happen, hosts that are ejected.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration, VirtualHost

from mesh.commands.errors import UserError
from mesh.istio import extension_providers
from mesh.istio.eras import Era
from mesh.istio.resource import Resource, by_age
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate import RDS, SHORT, Translator, names, translate, unpack
from mesh.pilot.translate.scope import scoped
from mesh.pilot.translate.view import MeshView, OutboundPolicy
from mesh.sidecar.filters.routing import Action, CompiledRoute, RequestHead, RouteTable
from mesh.topology import Pod, Topology, Workload

GATEWAY_LABELS = {"app": "istio-ingressgateway", "istio": "ingressgateway"}


@dataclass(frozen=True, slots=True)
class Request:
    """The request: URL (``/path`` for the gateway), method, headers, and who sends it."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    source: str = ""


def explain(
    request: Request, resources: list[Resource], topology: Topology, era: Era
) -> dict[str, Any]:
    """Return what would happen: ``proxy``, ``virtual_host``, ``tried``, ``route``, ``outcome``.

    UserError when the source or the URL makes no sense.
    """
    whole = _view(resources, topology, era)
    gateway = request.url.startswith("/")
    node = _gateway(topology) if gateway else _sidecar(topology, request.source)
    view = scoped(whole, node)
    tables: dict[str, Any] = dict(translate(whole, node)[RDS])
    table = tables.get("http.80" if gateway else "http_proxy")
    if not isinstance(table, RouteConfiguration):
        raise UserError("no Gateway opens port 80 of the ingress gateway: nothing listens")
    head = _head(request, gateway, topology)
    compiled = RouteTable.compile(table)
    name = compiled.virtual_host(head.authority)
    tried: list[dict[str, Any]] = []
    taken: CompiledRoute | None = None
    host = next((each for each in table.virtual_hosts if each.name == name), None)
    for number, route in enumerate(host.routes if host else ()):
        alone = VirtualHost(name=name or "", domains=["*"], routes=[route])
        one = RouteTable.compile(RouteConfiguration(name=table.name, virtual_hosts=[alone]))
        found = one.match(head, random.Random(0))
        istio = route.metadata.filter_metadata.get("istio") if route.metadata else None
        config = istio.to_dict().get("config", "") if istio is not None else ""
        tried.append(
            {
                "route": number,
                "match": _words(route),
                "matches": found is not None,
                "from": str(config).rpartition("/namespaces/")[2],
            }
        )
        if found is not None:
            taken = found
            break
    return {
        "proxy": node.name,
        "request": f"{head.method} {head.scheme}://{head.authority}{head.path}",
        "virtual_host": name,
        "tried": tried,
        **_outcome(taken, view, compiled.why_not(head) if taken is None else ""),
    }


def snapshots(
    resources: list[Resource], topology: Topology, era: Era
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what each proxy would be sent: its name -> CDS, EDS, LDS, RDS -> name -> message.

    One sidecar stands for all pods of a workload.
    """
    view = _view(resources, topology, era)
    nodes = [
        _sidecar(topology, each.name)
        for service in topology.services
        for each in service.workloads
        if each.injected
    ]
    if topology.gateway:
        nodes.append(_gateway(topology))
    translator = Translator(view)
    return {
        node.name: {
            SHORT[kind]: dict(messages)
            for kind, messages in unpack(translator.snapshot(node)).items()
        }
        for node in nodes
    }


def _view(resources: list[Resource], topology: Topology, era: Era) -> MeshView:
    """Return the mesh as its control plane would see it, with the topology's part of meshConfig."""
    policy = cast("OutboundPolicy | None", topology.outbound_policy or None)
    return MeshView(
        _registry(topology),
        tuple(by_age(resources)),
        era,
        policy,
        l5d_dtab=topology.l5d_dtab,
        providers=extension_providers.read(list(topology.extension_providers), "topology"),
    )


def _words(route: Any) -> str:
    match = route.match.to_dict() if route.match is not None else {}
    parts = []
    for key, value in match.items():
        if key == "headers":
            parts += [f"header {each.get('name')} {_value(each)}" for each in value]
        elif key == "safeRegex":
            parts.append(f"path fits {value.get('regex')}")
        elif key in ("prefix", "path", "pathSeparatedPrefix"):
            parts.append(f"{'path' if key == 'path' else 'prefix'} {value}")
        else:
            parts.append(f"{key} {value}")
    return " and ".join(parts) or "everything"


def _value(header: dict[str, Any]) -> str:
    text = header.get("stringMatch", {})
    for key, value in text.items():
        return f"{key} {value.get('regex') if isinstance(value, dict) else value}"
    return "is there"


def _outcome(route: CompiledRoute | None, view: MeshView, why: str) -> dict[str, Any]:
    if route is None:
        return {"route": None, "outcome": [f"404, flag NR (route_not_found): {why}"]}
    lines: list[str] = []
    for name, message in route.filter_config.items():
        if name.endswith("fault"):
            lines.append(f"fault: {message.to_dict()}")
    if route.action == Action.DIRECT_RESPONSE and route.direct_response is not None:
        lines.append(f"answered by the sidecar: {route.direct_response.status}")
    elif route.action == Action.REDIRECT and route.redirect is not None:
        lines.append(f"redirect {route.redirect.code} {route.redirect.host}{route.redirect.path}")
    else:
        lines += _clusters(route, view)
    if route.rewrite:
        if route.rewrite.prefix or route.rewrite.path:
            lines.append(
                f"rewrite: prefix -> {route.rewrite.prefix}"
                if route.rewrite.prefix
                else "rewrite: the path, by a regular expression"
            )
        if route.rewrite.host:
            lines.append(f"rewrite: host -> {route.rewrite.host}")
    lines += [f"mirror: a copy to {_cluster(each.cluster, view)}" for each in route.mirrors]
    if route.timeout:
        lines.append(f"timeout: {route.timeout:g} s, all tries included: then 504, flag UT")
    policy = route.retry_policy
    if policy is not None:
        lines.append(f"retries: up to {policy.num_retries}, on {policy.retry_on}")
    return {"route": route.name or "(no name)", "outcome": lines}


def _clusters(route: CompiledRoute, view: MeshView) -> list[str]:
    missing = route.cluster_not_found_status
    if route.weighted is None:
        return [f"100% -> {_cluster(route.cluster, view, missing)}"]
    total = route.weighted.total
    return [
        f"{100 * each.weight / total:g}% -> {_cluster(each.cluster, view, missing)}"
        for each in route.weighted.choices
    ]


def _cluster(name: str, view: MeshView, missing: int = 503) -> str:
    """Return a cluster with what stands behind it, or the error that a request would meet.

    ``missing`` is the status for a cluster that does not exist: 500 for an HTTPRoute's.
    """
    _, port, subset, hostname = names.parse(name)
    service = view.registry.service(hostname)
    if service is None or view.registry.port(hostname, port) is None:
        why = "no such service" if service is None else f"the service has no port {port}"
        return f"{name}: {missing}, flag NC ({why})"
    labels: dict[str, str] = {}
    if subset:
        rule = view.rule(hostname)
        found = rule.subset(subset) if rule else None
        if found is None:
            return f"{name}: {missing}, flag NC (no DestinationRule defines subset {subset})"
        labels = dict(found.labels or {})
    pods = [each.pod for each in view.endpoints(hostname, port, labels)]
    return f"{name}: {', '.join(pods)}" if pods else f"{name}: 503, flag UH (no pod)"


def _registry(topology: Topology) -> Registry:
    registry = Registry()
    for service in topology.services:
        registry.add_service(service)
        for workload in service.workloads:
            for number in range(workload.replicas):
                labels = {"app": service.name, "version": workload.version, **workload.labels}
                name = workload.name if workload.replicas == 1 else f"{workload.name}-{number}"
                ports = {port.number: port.number for port in service.ports}
                registry.add_pod(
                    Pod(
                        name,
                        service.namespace,
                        service.name,
                        workload.name,
                        labels,
                        workload.service_account,
                        "127.0.0.1",
                        ports,
                        workload.locality,
                    )
                )
    return registry


def _gateway(topology: Topology) -> ProxyNode:
    if not topology.gateway:
        raise UserError("this mesh has no gateway: name a service with --from POD")
    return ProxyNode(
        topology.gateway, topology.namespace, "router", GATEWAY_LABELS, gateway_ports={80: 80}
    )


def _sidecar(topology: Topology, source: str) -> ProxyNode:
    known: dict[str, tuple[str, str, Workload]] = {
        each.name: (service.name, service.namespace, each)
        for service in topology.services
        for each in service.workloads
    }
    fits = [name for name in known if name == source] or [
        name for name in known if name.startswith(source) and source
    ]
    if not fits:
        raise UserError(f"say who asks with --from: {', '.join(known)}")
    service, namespace, workload = known[fits[0]]
    labels = {"app": service, "version": workload.version, **workload.labels}
    return ProxyNode(workload.name, namespace, labels=labels, outbound_port=15001)


def _head(request: Request, gateway: bool, topology: Topology) -> RequestHead:
    headers = [(name.lower(), value) for name, value in request.headers.items()]
    if gateway:
        authority = request.headers.get("host", "localhost")
        return RequestHead(request.method, "http", authority, request.url, headers)
    parts = urlsplit(request.url if "://" in request.url else f"http://{request.url}")
    if not parts.hostname:
        raise UserError(f"{request.url!r} is no URL: write http://recommendation:8080/")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return RequestHead(request.method, parts.scheme, parts.netloc, path, headers)
