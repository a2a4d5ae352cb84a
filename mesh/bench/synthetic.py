"""Synthetic meshes: thousands of services, with call graphs like those of real ones.

A made mesh has namespaces of fifty services (a team's), in layers: services near the edge call
those behind them, most of their own team, some of others, and a few services (identity, catalogue)
are called by very many; the numbers of callers are as skewed as in published call graphs.  Every
service has two versions and a DestinationRule with subsets, every third a VirtualService, every
namespace a Sidecar resource that names what its services call.
Source: Luo et al., "Characterizing Microservice Dependency and Performance: Alibaba Trace Analysis"
(2021): trees, most services with few callees, a few shared by most of the rest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pydantic import BaseModel

from mesh.istio import Resource, era, load_text
from mesh.istio.models.destination_rule import DestinationRule
from mesh.istio.models.sidecar import IstioEgressListener, Sidecar
from mesh.istio.models.virtual_service import VirtualService
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.topology import ISTIO, TLS_MODE, Pod, Service, Workload

ERA = era("istio-current")
TEAM = 50
"""Services in a namespace."""
CALLEES = (0, 1, 1, 2, 2, 3, 4, 6, 9)
"""How many other services a service calls; one of these, drawn evenly."""
OUTSIDE_OWN_TEAM = 0.25
VERSIONS = ("v1", "v2")
PORT = 8080

_RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  host: {name}
  trafficPolicy: {{outlierDetection: {{consecutive5xxErrors: {errors}}}}}
  subsets:
    - {{name: v1, labels: {{version: v1}}}}
    - {{name: v2, labels: {{version: v2}}}}
"""
_ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: [{name}]
  http:
    - route:
        - {{destination: {{host: {name}, subset: v1}}, weight: {weight}}}
        - {{destination: {{host: {name}, subset: v2}}, weight: {rest}}}
"""
_SIDECAR = """\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default, namespace: {namespace}}}
spec:
  egress:
    - hosts: [{hosts}]
"""


@dataclass(frozen=True, slots=True)
class Made:
    """A mesh: the services by number, whom each calls, and the pods' registry."""

    registry: Registry
    calls: dict[int, tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.calls)

    def hosts(self, number: int) -> list[str]:
        """Return the hosts that a service calls."""
        return [hostname(each) for each in self.calls[number]]


def namespace(number: int) -> str:
    """Return the namespace of a service."""
    return f"team-{number // TEAM}"


def name(number: int) -> str:
    """Return the name of a service."""
    return f"s{number}"


def hostname(number: int) -> str:
    """Return its fully qualified name."""
    return f"{name(number)}.{namespace(number)}.svc.cluster.local"


def make(services: int, seed: int = 1, *, mtls: bool = True) -> Made:
    """Make a mesh of that many services with two pods each; the same seed, the same mesh."""
    draw = random.Random(seed)
    registry = Registry()
    for number in range(services):
        workloads = tuple(Workload(f"{name(number)}-{each}", "", each) for each in VERSIONS)
        registry.add_service(Service(name(number), namespace(number), workloads=workloads))
        for place, version in enumerate(VERSIONS):
            labels = {"app": name(number), "version": version}
            if mtls:
                labels[TLS_MODE] = ISTIO
            pod = f"{name(number)}-{version}-0"
            ports = {PORT: 20000 + (2 * number + place) % 40000}
            registry.add_pod(
                Pod(
                    pod,
                    namespace(number),
                    name(number),
                    f"{name(number)}-{version}",
                    labels,
                    name(number),
                    "127.0.0.1",
                    ports,
                )
            )
    return Made(registry, {each: _callees(draw, each, services) for each in range(services)})


def _callees(draw: random.Random, number: int, services: int) -> tuple[int, ...]:
    """Draw whom a service calls: services behind it, of its own team or widely used ones."""
    found: set[int] = set()
    last = min(number - number % TEAM + TEAM, services) - 1
    for _ in range(draw.choice(CALLEES)):
        if draw.random() < OUTSIDE_OWN_TEAM:
            # A power law: the services with small numbers from the end are called by most.
            found.add(services - 1 - int(services * draw.random() ** 4))
        elif last > number:
            found.add(draw.randint(number + 1, last))
    return tuple(sorted(found - {number}))


def rule(number: int, errors: int = 5) -> str:
    """Return the DestinationRule of a service."""
    return _RULE.format(name=name(number), namespace=namespace(number), errors=errors)


def route(number: int, weight: int = 90) -> str:
    """Return the VirtualService of a service, with the share of its first version in percent."""
    place = {"name": name(number), "namespace": namespace(number)}
    return _ROUTE.format(**place, weight=weight, rest=100 - weight)


def sidecar(made: Made, team: int) -> str:
    """Return the Sidecar resource of a namespace: what its services call, by name."""
    hosts = ", ".join(f"'{each}'" for each in _hosts(made, team))
    return _SIDECAR.format(namespace=f"team-{team}", hosts=hosts)


def _hosts(made: Made, team: int) -> list[str]:
    members = range(team * TEAM, min((team + 1) * TEAM, len(made)))
    called = sorted({host for each in members for host in made.hosts(each)})
    return [f"*/{each}" for each in called] or ["~/*"]


def documents(made: Made, *, scoped: bool = True) -> Iterator[str]:
    """Yield the YAML of the whole mesh, a document each."""
    for number in range(len(made)):
        yield rule(number)
        if number % 3 == 0:
            yield route(number)
    if scoped:
        for team in range(-(-len(made) // TEAM)):
            yield sidecar(made, team)


def resources(made: Made, *, scoped: bool = True) -> list[Resource]:
    """Return what ``documents`` says, without reading a hundred thousand times the same YAML."""
    (rules,), (routes,), (sidecars,) = (load(rule(0)), load(route(0)), load(sidecar(made, 0)))
    assert isinstance(rules.spec, DestinationRule)
    assert isinstance(routes.spec, VirtualService)
    assert isinstance(sidecars.spec, Sidecar)
    found: list[Resource] = []
    for number in range(len(made)):
        own, team = name(number), namespace(number)
        spec: BaseModel = rules.spec.model_copy(update={"host": own})
        found.append(replace(rules, name=own, namespace=team, spec=spec))
        if number % 3 == 0:
            found.append(replace(routes, name=own, namespace=team, spec=_routed(routes.spec, own)))
    for place in range(-(-len(made) // TEAM)) if scoped else ():
        listener = IstioEgressListener(hosts=_hosts(made, place))
        spec = sidecars.spec.model_copy(update={"egress": [listener]})
        found.append(replace(sidecars, namespace=f"team-{place}", spec=spec))
    return found


def _routed(spec: VirtualService, host: str) -> VirtualService:
    """Return a VirtualService with another host in place of its own."""
    rules = []
    for http in spec.http or []:
        ways = [
            each.model_copy(
                update={"destination": each.destination.model_copy(update={"host": host})}
            )
            for each in http.route or []
        ]
        rules.append(http.model_copy(update={"route": ways}))
    return spec.model_copy(update={"hosts": [host], "http": rules})


def load(text: str) -> list[Resource]:
    """Read the documents of a YAML text; ValueError when there is something wrong with them."""
    found = load_text(text, "synthetic.yaml", era=ERA, namespace="default")
    if found.problems:
        raise ValueError(str(found.problems[0]))
    return found.resources


def node(number: int) -> ProxyNode:
    """Return the sidecar of a service's first pod."""
    version = VERSIONS[0]
    return ProxyNode(
        f"{name(number)}-{version}-0",
        namespace(number),
        labels={"app": name(number), "version": version, TLS_MODE: ISTIO},
        service_account=name(number),
        services=(hostname(number),),
        inbound_ports={PORT: 20000 + 2 * number % 40000},
        outbound_port=15001,
        app_socket="/run/app.sock",
        access_log="access.jsonl",
    )
