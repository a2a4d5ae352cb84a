from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh.istio.models.service_entry import ServiceEntry
from mesh.istio.models.workload_entry import WorkloadEntry
from mesh.pilot.registry import Registry
from mesh.pilot.translate.service_entry import (
    NOWHERE,
    EntryService,
    Places,
    endpoints,
    identities,
    service,
)

WORLD = {
    "one.example.com:80": ("127.0.0.1", 11),
    "two.example.com:80": ("127.0.0.1", 12),
    "one.example.com:443": ("127.0.0.1", 13),
    "192.0.2.7:80": ("127.0.0.1", 14),
}
HTTP = {"number": 80, "name": "http", "protocol": "HTTP"}


@dataclass
class Entry:
    name: str
    namespace: str
    spec: Any


def entry(*, namespace: str = "tutorial", **fields: Any) -> Entry:
    spec = {"hosts": ["shop.example.com"], "ports": [HTTP], **fields}
    return Entry("shop", namespace, ServiceEntry.model_validate(spec))


def made(*entries: Entry, host: str = "shop.example.com") -> EntryService:
    joined = service(entries, host)
    assert joined is not None
    return joined


def found(
    *entries: Entry, host: str = "shop.example.com", port: int = 80, labels: Any = None, **more: Any
) -> list[tuple[str, int, str]]:
    places = Places(**{"registry": Registry(), "world": WORLD, **more})
    return [
        (e.address, e.port, e.pod)
        for e in endpoints(made(*entries, host=host), port, labels, places)
    ]


def test_dns_looks_the_hosts_up() -> None:
    hosts = ["one.example.com", "gone.example.com"]
    for resolution in ("DNS", "NONE", "DNS_ROUND_ROBIN"):
        made = entry(hosts=hosts, resolution=resolution)
        assert found(made, host=hosts[0]) == [("127.0.0.1", 11, "one.example.com:80")]
        assert found(made, host=hosts[1]) == []


def test_endpoints_have_ports_and_labels() -> None:
    made = entry(
        resolution="DNS",
        endpoints=[
            {"address": "one.example.com", "ports": {"http": 443}, "labels": {"v": "1"}},
            {"address": "two.example.com", "labels": {"v": "2"}},
        ],
    )
    assert [each[1] for each in found(made)] == [13, 12]
    assert [each[1] for each in found(made, labels={"v": "2"})] == [12]
    assert found(made, labels={"v": "3"}) == []
    assert found(made, port=81) == []


def test_addresses() -> None:
    made = entry(
        resolution="STATIC",
        endpoints=[
            {"address": "192.0.2.7"},
            {"address": "192.0.2.8"},
            {"address": "127.0.0.5", "ports": {"http": 99}},
            {"address": "unix:///run/app.sock"},
        ],
    )
    assert [each[:2] for each in found(made)] == [
        ("127.0.0.1", 14),
        NOWHERE,
        ("127.0.0.5", 99),
        ("/run/app.sock", 0),
    ]
    assert found(entry(resolution="STATIC")) == []


def test_a_target_port_is_where_the_host_listens() -> None:
    ports = [{"number": 8000, "name": "http", "protocol": "HTTP", "targetPort": 80}]
    made = entry(hosts=["one.example.com"], ports=ports, resolution="DNS")
    assert found(made, host="one.example.com", port=8000)[0][1] == 11


def test_a_wildcard_goes_where_the_caller_looked_it_up() -> None:
    made = entry(hosts=["*.example.com"])
    assert found(made, host="*.example.com") == [("127.0.0.1", 11, "one.example.com:80")]
    assert found(entry(hosts=["*.example.org"]), host="*.example.org") == []


def test_a_service_of_the_mesh_may_be_an_endpoint(registry: Registry) -> None:
    name = "recommendation.tutorial.svc.cluster.local"
    made = entry(resolution="DNS", endpoints=[{"address": name, "ports": {"http": 8080}}])
    pods = [each[2] for each in found(made, registry=registry)]
    assert pods == ["recommendation-v1-0", "recommendation-v2-0"]


def test_a_selector_takes_pods_and_workload_entries_of_the_namespace(registry: Registry) -> None:
    fields = {"workloadSelector": {"labels": {"app": "recommendation"}}, "resolution": "STATIC"}
    ports = [{**HTTP, "targetPort": 8080}]
    vm = WorkloadEntry.model_validate(
        {"address": "192.0.2.7", "ports": {"http": 80}, "labels": {"app": "recommendation"}}
    )
    entries = (Entry("vm", "tutorial", vm), Entry("other", "sales", vm))
    made = entry(**fields, ports=ports)
    names = [each[2] for each in found(made, registry=registry, entries=entries)]
    assert names == ["recommendation-v1-0", "recommendation-v2-0", "vm"]
    away = entry(**fields, ports=ports, namespace="sales")
    assert [each[2] for each in found(away, registry=registry, entries=entries)] == ["other"]


def test_who_may_answer_for_a_host_in_the_mesh(registry: Registry) -> None:
    fields = {"workloadSelector": {"labels": {"app": "recommendation"}}, "resolution": "STATIC"}
    vm = WorkloadEntry.model_validate(
        {"address": "192.0.2.7", "labels": {"app": "recommendation"}, "serviceAccount": "vm"}
    )
    places = Places(registry=registry, entries=(Entry("vm", "tutorial", vm),))
    place = "spiffe://cluster.local/ns/tutorial/sa"

    def who(**more: Any) -> list[str]:
        return identities(made(entry(**fields, **more)), places)

    assert who(location="MESH_INTERNAL") == [f"{place}/recommendation", f"{place}/vm"]
    assert who() == []  # outside of the mesh nobody has such an identity
    assert who(location="MESH_INTERNAL", subjectAltNames=["spiffe://a/b"]) == ["spiffe://a/b"]


def test_several_entries_of_one_host_are_joined() -> None:
    first = entry(resolution="DNS", endpoints=[{"address": "one.example.com"}])
    more = [HTTP, {"number": 443, "name": "https", "protocol": "HTTPS"}]
    second = entry(
        resolution="DNS", ports=more, endpoints=[{"address": "two.example.com"}], namespace="sales"
    )
    joined = made(first, second)
    assert joined.namespace == "tutorial"
    assert [(port.number, port.protocol) for port in joined.ports] == [
        (80, "http"),
        (443, "https"),
    ]
    assert [each[1] for each in found(first, second)] == [11, 12]


def test_where_it_stands() -> None:
    inside = made(entry(location="MESH_INTERNAL", addresses=["10.1.2.3", "10.0.0.0/8"]))
    assert (inside.external, inside.addresses, inside.resolution) == (False, ("10.1.2.3",), "NONE")
    assert made(entry()).external
