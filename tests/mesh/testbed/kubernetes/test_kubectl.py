"""What kubectl says, and the sentence for a user; the tool is a script that prints one answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes.ingress import ingress_url
from mesh.testbed.kubernetes.kubectl import Kubectl, KubectlError, check
from mesh.testbed.kubernetes.pods import check_workloads
from mesh.testbed.load_topology import standard_topology

Says = Callable[[str], None]


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Put a kubectl on the PATH that is this shell script."""

    def put(script: str) -> None:
        program = tmp_path / "kubectl"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


def service(status: object, ports: list[int]) -> str:
    spec = {"ports": [{"port": port} for port in ports]}
    return f"echo '{json.dumps({'spec': spec, 'status': status})}'"


def test_a_machine_without_kubectl_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KubectlError, match="no `kubectl` on the PATH: install it"):
        check(Kubectl())


def test_no_context_and_no_answer_have_their_own_remedies(says: Says) -> None:
    says('echo "error: current-context is not set" >&2; exit 1')
    with pytest.raises(KubectlError, match=r"knows no cluster .*use-context NAME"):
        check(Kubectl())
    says(
        'if [ "$1" = config ]; then echo kind-mesh; exit 0; fi\n'
        'echo "Warning: version difference" >&2\n'
        'echo "The connection to the server 127.0.0.1:6443 was refused - did you specify the right '
        'host or port?" >&2; exit 1'
    )
    with pytest.raises(
        KubectlError, match=r"'kind-mesh' does not answer \(The connection .*refused"
    ):
        check(Kubectl())


def test_a_reachable_cluster_says_its_context(says: Says) -> None:
    says('if [ "$1" = config ]; then echo kind-mesh; else echo "{}"; fi')
    assert check(Kubectl()) == "kind-mesh"


@pytest.mark.parametrize(
    ("status", "ports", "url"),
    [
        (
            {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}},
            [15021, 80, 443],
            "http://203.0.113.7",
        ),
        (
            {"loadBalancer": {"ingress": [{"hostname": "lb.example.org"}]}},
            [8080],
            "http://lb.example.org:8080",
        ),
    ],
)
def test_the_gateways_address_is_its_services(
    says: Says, status: object, ports: list[int], url: str
) -> None:
    says(service(status, ports))
    assert ingress_url(Kubectl(), "istio-ingressgateway") == url


def test_without_a_load_balancer_the_way_in_is_told(says: Says) -> None:
    says(service({"loadBalancer": {}}, [80]))
    with pytest.raises(TestbedError, match="port-forward service/istio-ingressgateway 8080:80"):
        ingress_url(Kubectl(), "istio-ingressgateway")


@pytest.mark.parametrize("target", ["203.0.113.7", "https://a", "http://a/customer", "http://a:x"])
def test_a_target_that_is_no_address_is_refused(target: str) -> None:
    with pytest.raises(TestbedError, match=r"such as http://203\.0\.113\.7"):
        ingress_url(Kubectl(), "istio-ingressgateway", target)


def test_a_cluster_without_the_lab_is_told_how_to_get_it(says: Says) -> None:
    says("""echo '{"items": []}'""")
    with pytest.raises(TestbedError, match=r"no Deployment customer-v1, preference-v1.*REMEDY"):
        check_workloads(Kubectl(), standard_topology(), "REMEDY")


def test_another_labs_version_would_answer_too(says: Says) -> None:
    def deployment(name: str, app: str) -> dict[str, object]:
        template = {"metadata": {"labels": {"app": app}}}
        return {"metadata": {"name": name}, "spec": {"replicas": 1, "template": template}}

    names = ["customer-v1", "preference-v1", "recommendation-v1", "recommendation-v2"]
    items = [deployment(each, each[:-3]) for each in [*names, "recommendation-v3"]]
    says(f"echo '{json.dumps({'items': items})}'")
    with pytest.raises(TestbedError, match="delete deployment recommendation-v3"):
        check_workloads(Kubectl(), standard_topology(), "")
