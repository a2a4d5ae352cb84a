"""What a sidecar gets to which connections are redirected, as istiod would send it."""

from __future__ import annotations

from typing import Any

from mesh.istio import load_text
from mesh.istio.eras import ISTIO_1_28
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate import CDS, LDS, RDS, Translator, unpack
from mesh.pilot.translate.view import COMPOSE, MeshView
from mesh.pilot.virtual_address import ENTRIES, SERVICES, allocate, of_services
from mesh.topology import Port, Service

WEB, DB, OTHER = (
    Service("web"),
    Service("db", ports=(Port(9000, "tcp", "tcp"),)),
    Service("db2", ports=(Port(9000, "tcp", "tcp"), Port(8080, "tcp-odd", "tcp"))),
)
ME = ProxyNode("a", "tutorial", outbound_port=15001, captured=True)
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: tutorial}
spec:
  hosts: [out.example]
  ports: [{number: 443, name: tls, protocol: TLS}, {number: 8080, name: http, protocol: HTTP}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: self, namespace: tutorial}
spec:
  hosts: [looked-up.example]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  resolution: NONE
"""
PASSTHROUGH = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: tutorial}
spec: {host: web, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}
"""


def translator(yaml: str = "", **options: Any) -> Translator:
    registry = Registry()
    for service in (WEB, DB, OTHER):
        registry.add_service(service)
    resources = tuple(load_text(yaml, era=ISTIO_1_28).resources) if yaml else ()
    return Translator(MeshView(registry, resources, runtime=COMPOSE, **options))


def listeners(yaml: str = "", **options: Any) -> dict[str, Any]:
    return dict(unpack(translator(yaml, **options).snapshot(ME))[LDS])


def cluster(chain: Any) -> str:
    return str(chain.filters[-1].typed_config.unpack().cluster)


def test_one_port_is_open_and_hands_over_by_the_address_that_was_asked_for() -> None:
    found = listeners(ENTRY)
    virtual = of_services([WEB.hostname, DB.hostname, OTHER.hostname])
    db, other = virtual[DB.hostname], virtual[OTHER.hostname]
    assert set(found) == {
        "virtualOutbound",
        "0.0.0.0_80",
        "0.0.0.0_443",
        "0.0.0.0_8080",
        f"{db}_9000",
        f"{other}_9000",
        f"{other}_8080",
    }
    assert [name for name, each in found.items() if each.bind_to_port is None] == [
        "virtualOutbound"
    ]
    assert found["virtualOutbound"].use_original_dst
    assert cluster(found[f"{db}_9000"].filter_chains[0]) == f"outbound|9000||{DB.hostname}"


def test_what_is_for_nobody_meets_the_policy_and_no_connection_goes_in_a_circle() -> None:
    for policy, name in (
        ("ALLOW_ANY", "PassthroughCluster"),
        ("REGISTRY_ONLY", "BlackHoleCluster"),
    ):
        itself, rest = listeners(outbound_policy=policy)["virtualOutbound"].filter_chains
        assert itself.filter_chain_match.destination_port == 15001
        assert cluster(itself) == "BlackHoleCluster"
        assert cluster(rest) == name


def test_each_port_has_a_route_table_with_the_hosts_of_that_port() -> None:
    snapshot = unpack(translator(ENTRY).snapshot(ME))
    tables: Any = snapshot[RDS]
    assert sorted(tables) == ["80", "8080"]
    hosts = {each.name: each.domains for each in tables["8080"].virtual_hosts}
    address = of_services([WEB.hostname, DB.hostname, OTHER.hostname])[WEB.hostname]
    assert {"web", "web:8080", "web.tutorial", address} <= set(hosts[f"{WEB.hostname}:8080"])
    assert not any("db" in name for name in hosts)
    assert list(hosts)[-1] == "allow_any"
    # No tunnel, no port of an own: nobody here uses a proxy.
    assert not any(name.startswith("connect") for name in snapshot[CDS])


def test_names_lead_to_addresses_but_those_whose_caller_chooses() -> None:
    names = translator(ENTRY).names(ME)
    address = names["web"]
    assert names["web.tutorial.svc.cluster.local"] == address
    assert address[0].startswith("10.96.")
    assert names["out.example"][0].startswith("240.240.")
    assert "looked-up.example" not in names
    assert "web" not in translator(PASSTHROUGH).names(ME)
    assert "web" not in translator().names(ProxyNode("a", "default", captured=True))
    assert translator().names(ProxyNode("a", "tutorial")) == {}


def test_addresses_follow_from_the_names_and_never_meet() -> None:
    names = [f"s{number}.example" for number in range(3000)]
    found = allocate(names, SERVICES)
    assert found == allocate(reversed(names), SERVICES)
    assert len(set(found.values())) == len(names)
    assert not SERVICES.overlaps(ENTRIES)
