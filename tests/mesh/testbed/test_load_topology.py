from __future__ import annotations

import pytest
import yaml

from mesh.testbed.load_topology import (
    TopologyError,
    ingress_yaml,
    load_topology,
    standard_topology,
)


def test_the_standard_topology() -> None:
    topology = standard_topology()
    names = [workload.name for service in topology.services for workload in service.workloads]
    assert names == ["customer-v1", "preference-v1", "recommendation-v1", "recommendation-v2"]
    assert topology.services[2].hostname == "recommendation.tutorial.svc.cluster.local"
    assert topology.services[0].workloads[0].service_account == "customer"


def test_everything_can_be_said() -> None:
    text = """
    namespace: shop
    gateway: false
    services:
      a: {app: scripted, version: v7, options: {script: [{status: 503}]}}
      b:
        ports: [9080, {number: 9443, name: https, protocol: HTTPS}]
        workloads:
          - {version: v2, replicas: 3, labels: {tier: gold}, locality: eu/1/a}
    """
    a, b = load_topology(yaml.safe_load(text)).services
    assert (a.workloads[0].name, a.workloads[0].options) == ("a-v7", {"script": [{"status": 503}]})
    assert [(port.number, port.protocol) for port in b.ports] == [(9080, "http"), (9443, "https")]
    assert (b.workloads[0].replicas, b.workloads[0].app) == (3, "services.scripted")


def test_an_egress_gateway_is_a_service_to_its_sidecars() -> None:
    topology = load_topology({"egress_gateway": True, "services": {"a": None}})
    own = topology.all_services[-1]
    assert own.hostname == "istio-egressgateway.istio-system.svc.cluster.local"
    assert [(port.number, port.protocol) for port in own.ports] == [(80, "http2"), (443, "https")]
    assert own.workloads[0].service_account == "istio-egressgateway-service-account"
    plain = load_topology({"services": {"a": None}, "world": {"a.test": {"ports": [80, 443]}}})
    assert (plain.all_services, plain.encrypted) == (plain.services, True)


def test_the_default_ingress_leads_to_customer() -> None:
    gateway, virtual_service = yaml.safe_load_all(ingress_yaml(standard_topology()))
    assert gateway["spec"]["selector"] == {"istio": "ingressgateway"}
    assert virtual_service["spec"]["http"][0]["rewrite"] == {"uri": "/"}
    assert ingress_yaml(load_topology({"gateway": False, "services": {"a": None}})) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "topology: a mapping is needed, not"),
        ("{}", "topology.services: write one entry per service"),
        ("{services: {a: {replica: 1}}}", "services.a: no key 'replica': did you mean 'replicas'?"),
        ("{services: {a: {workloads: [{replicas: many}]}}}", r"workloads\[0\].replicas: a number"),
        ("{services: {a: {workloads: [], version: v1}}}", "a.version: write it in an entry of"),
        ("{services: {a: {app: nginx}}}", "no application 'nginx'; there are customer"),
        ("{services: {a: {version: 1.0}}}", r"a text is needed, not 1.0 \(put it in quotes\)"),
        ("{services: {a: {ports: [{number: 0}]}}}", r"ports\[0\].number: a number from 1 to 65535"),
    ],
)
def test_errors_say_where_and_what(text: str, words: str) -> None:
    with pytest.raises(TopologyError, match=words):
        load_topology(yaml.safe_load(text))


def test_the_world_and_the_outbound_policy() -> None:
    raw = {
        "services": {"a": {"export_to": ["."]}},
        "world": {"edition.CNN.com": None, "httpbin.org": {"ports": [80, 8000]}},
        "outbound_policy": "REGISTRY_ONLY",
    }
    found = load_topology(raw)
    assert [(each.name, each.ports) for each in found.world] == [
        ("edition.cnn.com", (80,)),
        ("httpbin.org", (80, 8000)),
    ]
    assert (found.outbound_policy, found.services[0].export_to) == ("REGISTRY_ONLY", (".",))
    assert [each.name for each in load_topology({**raw, "world": ["a.b"]}).world] == ["a.b"]
    for wrong in (
        {"world": {"cnn": None}},
        {"world": {"a.b": {"port": 80}}},
        {"world": {"a.b": {"ports": []}}},
        {"world": {"a.b": {"ports": [0]}}},
        {"outbound_policy": "ALLOW"},
        {"extension_providers": [{"name": "a"}]},
        {"services": {"a": {"export_to": "."}}},
    ):
        with pytest.raises(TopologyError):
            load_topology({**raw, **wrong})
