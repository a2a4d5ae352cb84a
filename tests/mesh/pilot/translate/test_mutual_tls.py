"""Modes of PeerAuthentication, Policy and DestinationRule, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from mesh.istio.eras import ISTIO_1_0, ISTIO_1_28
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate import CDS, EDS, LDS, peer_authentication, translate
from mesh.pilot.translate.view import MeshView
from mesh.topology import ISTIO, TLS_MODE, Service, Workload

HOST = "customer.tutorial.svc.cluster.local"
REC = "outbound|8080||recommendation.tutorial.svc.cluster.local"
CUSTOMER = {"app": "customer", "version": "v1"}
MakeView = Callable[..., MeshView]


@pytest.fixture
def meshed(registry: Registry, node: ProxyNode) -> ProxyNode:
    """The node, and all pods of the registry, with sidecars that have certificates."""
    for pod in list(registry.pods.values()):
        registry.add_pod(replace(pod, labels={**pod.labels, TLS_MODE: ISTIO}))
    return replace(node, labels={**node.labels, TLS_MODE: ISTIO})


def mode(view: MeshView, port: int = 8080) -> str:
    return peer_authentication.mode(view, "tutorial", CUSTOMER, [HOST], port)


MESH = ("PeerAuthentication", "mesh", "  mtls: {mode: STRICT}")
SELECTOR = "  selector: {matchLabels: {app: customer}}\n"
MODES: list[tuple[list[str], str, str]] = [
    ([], "PERMISSIVE", "PERMISSIVE"),
    (["  mtls: {mode: STRICT}"], "STRICT", "STRICT"),
    (["  mtls: {mode: UNSET}"], "PERMISSIVE", "PERMISSIVE"),
    (["  mtls: {mode: STRICT}", SELECTOR + "  mtls: {mode: DISABLE}"], "DISABLE", "DISABLE"),
    (["  mtls: {mode: STRICT}", SELECTOR + "  mtls: {mode: UNSET}"], "STRICT", "STRICT"),
    (
        [SELECTOR + '  mtls: {mode: STRICT}\n  portLevelMtls: {"9090": {mode: DISABLE}}'],
        "STRICT",
        "DISABLE",
    ),
    (
        [
            "  mtls: {mode: STRICT}",
            SELECTOR + '  portLevelMtls: {"8080": {mode: PERMISSIVE}, "9090": {mode: UNSET}}',
        ],
        "PERMISSIVE",
        "STRICT",
    ),
    (
        ["  selector: {matchLabels: {app: other}}\n  mtls: {mode: STRICT}"],
        "PERMISSIVE",
        "PERMISSIVE",
    ),
    (["  mtls: {mode: STRICT}", "  mtls: {mode: DISABLE}"], "STRICT", "STRICT"),
]


@pytest.mark.parametrize(("specs", "first", "second"), MODES)
def test_the_narrowest_mode_counts(
    specs: list[str], first: str, second: str, view: MakeView
) -> None:
    found = view(*[("PeerAuthentication", f"p{n}", text) for n, text in enumerate(specs)])
    assert (mode(found), mode(found, 9090)) == (first, second)


def test_the_mesh_of_the_root_namespace(view: MakeView) -> None:
    made = view(MESH)
    mesh = made.resources[0]
    moved = replace(cast(Any, mesh), namespace="istio-system")
    assert mode(replace(made, resources=(moved,))) == "STRICT"
    own = view(("PeerAuthentication", "own", "  mtls: {mode: PERMISSIVE}")).resources[0]
    assert mode(replace(made, resources=(moved, own))) == "PERMISSIVE"


POLICIES = [
    ([], "DISABLE"),
    (["  peers: [{mtls: {}}]"], "STRICT"),
    (["  peers: [{mtls: }]"], "STRICT"),
    (["  peers: [{mtls: {mode: PERMISSIVE}}]"], "PERMISSIVE"),
    (["  peers: [{mtls: {allowTls: true}}]"], "PERMISSIVE"),
    (["  targets: [{name: customer}]\n  peers: [{mtls: {}}]"], "STRICT"),
    (["  targets: [{name: customer, ports: [{number: 8080}]}]\n  peers: [{mtls: {}}]"], "STRICT"),
    (["  targets: [{name: customer, ports: [{number: 9}]}]\n  peers: [{mtls: {}}]"], "DISABLE"),
    (["  targets: [{name: preference}]\n  peers: [{mtls: {}}]"], "DISABLE"),
    (["  peers: [{mtls: {}}]", "  targets: [{name: customer}]"], "DISABLE"),
]


@pytest.mark.parametrize(("specs", "wanted"), POLICIES)
def test_the_policies_of_the_lecture(specs: list[str], wanted: str, view: MakeView) -> None:
    found = view(era=ISTIO_1_0)
    resources = []
    for number, text in enumerate(specs):
        name = "default" if "targets" not in text else f"p{number}"
        header = "apiVersion: authentication.istio.io/v1alpha1\nkind: Policy\n"
        resources += load(header + f"metadata: {{name: {name}}}\nspec:\n{text}")
    assert mode(replace(found, resources=tuple(resources))) == wanted


def load(text: str) -> list[Any]:
    from mesh.istio import has_errors, load_text

    loaded = load_text(text, "p.yaml", era=ISTIO_1_0, namespace="tutorial")
    assert not has_errors(loaded.problems), loaded.problems
    return list(loaded.resources)


def chains(snapshot: Any) -> list[tuple[str, list[str], bool]]:
    found = snapshot[LDS]["virtualInbound"].filter_chains
    return [
        (
            each.filter_chain_match.transport_protocol if each.filter_chain_match else "",
            list(each.filter_chain_match.application_protocols) if each.filter_chain_match else [],
            each.transport_socket is not None,
        )
        for each in found
    ]


def test_filter_chains_of_each_mode(view: MakeView, meshed: ProxyNode) -> None:
    permissive = chains(translate(view(), meshed))
    assert [(name, tls) for name, _, tls in permissive] == [("tls", True), ("raw_buffer", False)]
    assert "istio" in permissive[0][1]
    assert chains(translate(view(MESH), meshed)) == [("tls", [], True)]
    off = ("PeerAuthentication", "none", "  mtls: {mode: DISABLE}")
    assert chains(translate(view(off), meshed)) == [("", [], False)]


def test_a_sidecar_without_a_certificate_has_no_tls(view: MakeView, node: ProxyNode) -> None:
    assert chains(translate(view(MESH), node)) == [("", [], False)]


def upstream(snapshot: Any, cluster: str = REC) -> Any:
    socket = snapshot[CDS][cluster].transport_socket
    return None if socket is None else socket.typed_config.unpack()


def test_automatic_mtls_knows_who_may_answer(view: MakeView, meshed: ProxyNode) -> None:
    context = upstream(translate(view(), meshed))
    common = context.common_tls_context
    names = common.combined_validation_context.default_validation_context
    assert [each.matcher.exact for each in names.match_typed_subject_alt_names] == [
        "spiffe://cluster.local/ns/tutorial/sa/recommendation"
    ]
    assert context.sni == "outbound_.8080_._.recommendation.tutorial.svc.cluster.local"
    assert list(common.alpn_protocols) == ["istio"]
    secret = common.tls_certificate_sds_secret_configs[0]
    assert secret.sds_config.path_config_source.path == "sds/default.json"


def test_accounts_of_workloads_without_pods_count(
    view: MakeView, registry: Registry, meshed: ProxyNode
) -> None:
    spare = Workload("recommendation-v3", "services.recommendation", service_account="spare")
    registry.add_service(Service("recommendation", workloads=(spare,)))
    validation = upstream(
        translate(view(), meshed)
    ).common_tls_context.combined_validation_context.default_validation_context
    names = [each.matcher.exact for each in validation.match_typed_subject_alt_names]
    assert [name.rpartition("/")[2] for name in names] == ["recommendation", "spare"]


RULE = "  host: recommendation\n  trafficPolicy: {{tls: {{mode: {}}}}}"


def rule(text: str) -> tuple[str, str, str]:
    return ("DestinationRule", "r", RULE.format(text))


def test_a_destination_rule_overrides_automatic_mtls(view: MakeView, meshed: ProxyNode) -> None:
    assert upstream(translate(view(rule("DISABLE")), meshed)) is None
    assert upstream(translate(view(rule("ISTIO_MUTUAL")), meshed)) is not None
    off = ("PeerAuthentication", "none", "  mtls: {mode: DISABLE}")
    assert upstream(translate(view(off), meshed)) is None
    assert upstream(translate(view(off, rule("ISTIO_MUTUAL")), meshed)) is not None


def test_before_automatic_mtls_a_rule_is_needed(view: MakeView, meshed: ProxyNode) -> None:
    assert upstream(translate(view(era=ISTIO_1_0), meshed)) is None
    assert upstream(translate(view(rule("ISTIO_MUTUAL"), era=ISTIO_1_0), meshed)) is not None


def test_simple_tls_is_that_of_the_outside(view: MakeView, meshed: ProxyNode) -> None:
    text = "SIMPLE, caCertificates: /etc/ca.pem, subjectAltNames: [a.example]"
    context = upstream(translate(view(rule(text), era=ISTIO_1_28), meshed))
    assert context.sni == "recommendation.tutorial.svc.cluster.local"
    validation = context.common_tls_context.validation_context
    assert validation.trusted_ca.filename == "/etc/ca.pem"
    assert [each.matcher.exact for each in validation.match_typed_subject_alt_names] == [
        "a.example"
    ]


def test_pods_without_a_sidecar_are_called_in_plain_text(
    view: MakeView, registry: Registry, meshed: ProxyNode
) -> None:
    plain = registry.pods["tutorial", "recommendation-v2-0"]
    registry.add_pod(replace(plain, labels={"app": "recommendation", "version": "v2"}))
    snapshot = translate(view(), meshed)
    cluster = cast(Any, snapshot[CDS][REC])
    assert cluster.transport_socket is None
    assert [each.name for each in cluster.transport_socket_matches] == [
        "tlsMode-istio",
        "tlsMode-disabled",
    ]
    endpoints = cast(Any, snapshot[EDS][REC]).endpoints[0].lb_endpoints
    marked = ["envoy.transport_socket_match" in each.metadata.filter_metadata for each in endpoints]
    assert marked == [True, False]
