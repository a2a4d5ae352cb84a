"""IST0113 at every level of a PeerAuthentication, and at services that have no sidecar."""

import pytest

from mesh.istio import era, load_text
from mesh.istio.analyze import analyze
from mesh.istio.problem import Problem
from mesh.topology import INJECT, Port, Service, Topology, Workload

PORTS = (Port(8080, "http"), Port(9090, "http-old"))
MESH = Topology(
    (
        Service("shop", ports=PORTS, workloads=(Workload("shop-v1", "shop"),)),
        Service("ledger", workloads=(Workload("ledger-v1", "", labels={INJECT: "false"}),)),
    )
)
PLAIN = "trafficPolicy: {tls: {mode: DISABLE}}"


def rule(host: str, spec: str = PLAIN) -> str:
    return (
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        f"metadata: {{name: plain}}\nspec: {{host: {host}, {spec}}}\n"
    )


def peers(name: str, spec: str, namespace: str = "tutorial") -> str:
    return (
        "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"
    )


def found(text: str, topology: Topology | None = MESH) -> list[Problem]:
    loaded = load_text(text, era=era("istio-current"), namespace="tutorial")
    assert not loaded.problems
    told = analyze(loaded.resources, era("istio-current"), topology)
    return [each for each in told if each.code == "IST0113"]


STRICT = peers("default", "mtls: {mode: STRICT}")
OF_SHOP = "selector: {matchLabels: {app: shop}}"
ONE_PORT = "portLevelMtls: {9090: {mode: PERMISSIVE}}"


@pytest.mark.parametrize(
    ("policies", "says_so"),
    [
        (STRICT, "tutorial/default"),
        (peers("default", "mtls: {mode: STRICT}", "istio-system"), "istio-system/default"),
        (peers("shop", f"{OF_SHOP}, mtls: {{mode: STRICT}}"), "tutorial/shop"),
        (STRICT + peers("shop", f"{OF_SHOP}, {ONE_PORT}"), "tutorial/default"),
        (peers("shop", f"{OF_SHOP}, portLevelMtls: {{9090: {{mode: STRICT}}}}"), "tutorial/shop"),
        (peers("default", "mtls: {mode: PERMISSIVE}") + STRICT, "tutorial/default"),
    ],
)
def test_plain_text_to_pods_that_are_strict_at_any_level(policies: str, says_so: str) -> None:
    [problem] = found(policies + rule("shop"))
    assert f'Policy object "{says_so}" specifies STRICT' in problem.message


@pytest.mark.parametrize(
    "policies",
    [
        "",
        STRICT + peers("shop", f"{OF_SHOP}, mtls: {{mode: PERMISSIVE}}"),
        STRICT + peers("default", "mtls: {mode: PERMISSIVE}"),
        peers("default", "mtls: {mode: STRICT}", "istio-system")
        + peers("default", "mtls: {mode: DISABLE}"),
        peers("other", "selector: {matchLabels: {app: other}}, mtls: {mode: STRICT}"),
    ],
)
def test_plain_text_to_pods_that_take_it_is_no_conflict(policies: str) -> None:
    assert found(policies + rule("shop")) == []


def test_a_service_without_a_sidecar_is_spoken_to_in_plain_text() -> None:
    assert found(STRICT + rule("ledger")) == []
    assert found(STRICT + rule("ledger"), None)  # where nobody knows what runs


def test_a_port_with_a_mode_of_its_own_is_not_the_hosts() -> None:
    own = "trafficPolicy: {tls: {mode: DISABLE}, portLevelSettings: [%s]}"
    spec = own % "{port: {number: 8080}, tls: {mode: ISTIO_MUTUAL}}"
    assert found(STRICT + peers("shop", f"{OF_SHOP}, {ONE_PORT}") + rule("shop", spec)) == []
    assert found(STRICT + rule("shop", spec))
