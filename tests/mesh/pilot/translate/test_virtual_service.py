from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.route.v3 import Route, RouteAction, RouteConfiguration

from mesh.istio.eras import ISTIO_1_0, ISTIO_1_9, ISTIO_1_28, Era
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import RDS, translate
from mesh.pilot.translate.view import MeshView

Make = Callable[..., MeshView]
CLUSTER = "outbound|8080|{}|recommendation.tutorial.svc.cluster.local"
TO = "    route: [{destination: {host: recommendation}}]"


def routes(view: MeshView, node: ProxyNode) -> list[Route]:
    table = translate(view, node)[RDS]["http_proxy"]
    assert isinstance(table, RouteConfiguration)
    name = "recommendation.tutorial.svc.cluster.local:8080"
    return next(host.routes[:-1] for host in table.virtual_hosts if host.name == name)


def service(http: str) -> tuple[str, str, str]:
    return "VirtualService", "recommendation", f"  hosts: [recommendation]\n  http:\n{http}"


def action(route: Route) -> RouteAction:
    assert route.route is not None
    return route.route


def test_without_a_virtual_service_there_is_istios_default_route(
    view: Make, node: ProxyNode
) -> None:
    [route] = routes(view(), node)
    assert route.name == "default"
    assert action(route).cluster == CLUSTER.format("")
    assert action(route).timeout == timedelta(0)


def test_a_subset_is_part_of_the_cluster_name(view: Make, node: ProxyNode) -> None:
    [route] = routes(
        view(service("  - route: [{destination: {host: recommendation, subset: v1}}]")), node
    )
    assert action(route).cluster == CLUSTER.format("v1")


def test_weights_make_a_weighted_cluster_without_the_zeros(view: Make, node: ProxyNode) -> None:
    parts = ", ".join(
        f"{{destination: {{host: recommendation, subset: {subset}}}, weight: {weight}}}"
        for subset, weight in (("v1", 75), ("v2", 25), ("v3", 0))
    )
    [route] = routes(view(service(f"  - route: [{parts}]")), node)
    weighted = action(route).weighted_clusters
    assert weighted is not None
    assert [(each.name, each.weight) for each in weighted.clusters] == [
        (CLUSTER.format("v1"), 75),
        (CLUSTER.format("v2"), 25),
    ]


def test_a_rule_that_matches_everything_ends_the_list(view: Make, node: ProxyNode) -> None:
    found = routes(
        view(
            service(
                f"  - match: [{{uri: {{prefix: /a}}}}, {{uri: {{exact: /b}}}}]\n{TO}\n  - name: rest\n{TO}\n  - name: never\n{TO}"
            )
        ),
        node,
    )
    assert [each.match.to_dict() for each in found if each.match] == [
        {"prefix": "/a"},
        {"path": "/b"},
        {"prefix": "/"},
    ]
    assert found[-1].name == "rest"


def test_headers_methods_and_parameters(view: Make, node: ProxyNode) -> None:
    block = (
        "  - match:\n    - headers: {user-agent: {regex: '.*Safari.*'}, x-any: {}}\n"
        "      withoutHeaders: {x-no: {}}\n      method: {exact: GET}\n"
        "      queryParams: {q: {exact: '1'}}\n      ignoreUriCase: true\n      uri: {prefix: /A}\n"
    )
    match = routes(view(service(block + TO)), node)[0].match
    assert match is not None
    assert match.case_sensitive is False
    assert [(each.name, each.invert_match) for each in match.headers] == [
        ("user-agent", False),
        ("x-any", False),
        ("x-no", True),
        (":method", False),
    ]
    assert match.query_parameters[0].name == "q"


def test_source_labels_decide_which_sidecar_gets_the_rule(view: Make, node: ProxyNode) -> None:
    text = f"  - name: mine\n    match: [{{sourceLabels: {{version: v1}}}}]\n{TO}\n  - name: rest\n{TO}"
    assert routes(view(service(text)), node)[0].name == "mine"
    text = text.replace("version: v1", "version: v7")
    assert [each.name for each in routes(view(service(text)), node)] == ["rest"]


@pytest.mark.parametrize(
    ("era", "retry_on", "codes"),
    [
        (
            ISTIO_1_9,
            "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
            [503],
        ),
        (ISTIO_1_28, "connect-failure,refused-stream,unavailable,cancelled", []),
    ],
)
def test_the_default_retries_are_the_eras(
    view: Make, node: ProxyNode, era: Era, retry_on: str, codes: list[int]
) -> None:
    policy = action(routes(view(era=era), node)[0]).retry_policy
    assert policy is not None
    assert (policy.num_retries, policy.retry_on, policy.retriable_status_codes) == (
        2,
        retry_on,
        codes,
    )


def test_no_default_retries_in_1_0_and_none_with_zero_attempts(view: Make, node: ProxyNode) -> None:
    assert action(routes(view(era=ISTIO_1_0), node)[0]).retry_policy is None
    text = f"  - retries: {{attempts: 0}}\n{TO}"
    assert action(routes(view(service(text)), node)[0]).retry_policy is None


def test_stated_retries_and_timeout(view: Make, node: ProxyNode) -> None:
    text = f"  - retries: {{attempts: 3, perTryTimeout: 2s, retryOn: '5xx,503'}}\n    timeout: 5s\n{TO}"
    found = action(routes(view(service(text)), node)[0])
    policy = found.retry_policy
    assert found.timeout == timedelta(seconds=5)
    assert policy is not None
    assert policy.num_retries == 3
    assert policy.retry_on == "5xx,retriable-status-codes"
    assert policy.retriable_status_codes == [503]
    assert policy.per_try_timeout == timedelta(seconds=2)


def test_fault_cors_mirror_headers_and_rewrite(view: Make, node: ProxyNode) -> None:
    text = (
        "  - fault: {abort: {httpStatus: 503, percentage: {value: 50}}, delay: {fixedDelay: 7s}}\n"
        "    corsPolicy: {allowOrigins: [{exact: 'http://a'}], maxAge: 24h}\n"
        "    mirror: {host: recommendation, subset: v2}\n    mirrorPercentage: {value: 10}\n"
        "    headers: {request: {set: {x-a: '1'}, remove: [x-b]}}\n    rewrite: {uri: /}\n" + TO
    )
    [route] = routes(view(service(text)), node)
    assert route.to_dict()["typedPerFilterConfig"]["envoy.filters.http.fault"] == {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        "delay": {"fixedDelay": "7s", "percentage": {"denominator": "MILLION"}},
        "abort": {"httpStatus": 503, "percentage": {"numerator": 500000, "denominator": "MILLION"}},
    }
    assert "envoy.filters.http.cors" in route.typed_per_filter_config
    assert action(route).request_mirror_policies[0].cluster == CLUSTER.format("v2")
    assert route.request_headers_to_remove == ["x-b"]
    assert action(route).prefix_rewrite == "/"


def test_redirect_and_direct_response(view: Make, node: ProxyNode) -> None:
    text = (
        "  - match: [{uri: {prefix: /r}}]\n    redirect: {uri: /x, authority: y, redirectCode: 302}\n"
        "  - directResponse: {status: 418, body: {string: tea}}"
    )
    first, second = routes(view(service(text)), node)
    assert first.redirect is not None
    assert first.redirect.to_dict() == {
        "hostRedirect": "y",
        "pathRedirect": "/x",
        "responseCode": "FOUND",
    }
    assert second.direct_response is not None
    assert second.direct_response.status == 418
