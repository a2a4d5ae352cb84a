from __future__ import annotations

from collections.abc import Callable

from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from hypothesis import given
from hypothesis import strategies as st

from mesh.istio.models.base import StringMatch
from mesh.istio.models.virtual_service import HTTPMatchRequest, HTTPRoute, VirtualService
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import RDS, translate
from mesh.pilot.translate.delegate import Placed, conflict, merge, merge_matches, merge_routes
from mesh.pilot.translate.view import MeshView

Make = Callable[..., MeshView]
ROOT = "  hosts: [recommendation]\n  http:\n"
DELEGATE = (
    "  http:\n  - {match: [{uri: {prefix: /shop/v2}}], route: [{destination: {host: customer}}]}\n"
)


def match(**fields: object) -> HTTPMatchRequest:
    return HTTPMatchRequest.model_validate(fields)


def rule(**fields: object) -> HTTPRoute:
    return HTTPRoute.model_validate(fields)


def placed(name: str, namespace: str = "tutorial", **spec: object) -> Placed:
    return Placed(name, namespace, VirtualService.model_validate(spec))


def root(delegate: dict[str, str], **more: object) -> Placed:
    return placed("root", hosts=["shop"], http=[{"delegate": delegate, **more}, TO_SHOP])


TO_SHOP = {"name": "rest", "route": [{"destination": {"host": "shop"}}]}
PART = {"name": "part", "route": [{"destination": {"host": "part"}}]}


def names(found: list[Placed]) -> list[list[str | None]]:
    return [[each.name for each in one.spec.http or []] for one in found]


def test_the_rules_of_the_delegate_stand_in_the_place_of_the_roots() -> None:
    found = merge([root({"name": "part"}), placed("part", http=[PART, {**PART, "name": "two"}])])
    assert names(found) == [["part", "two", "rest"]]


def test_a_delegate_that_is_not_there_or_not_exported_leaves_that_rule_out_only() -> None:
    other = root({"name": "part", "namespace": "sales"})
    assert names(merge([other])) == [["rest"]]
    assert names(merge([other, placed("part", http=[PART])])) == [["rest"]]
    assert names(merge([other, placed("part", "sales", http=[PART])])) == [["part", "rest"]]
    for exported, seen in (["."], False), (["tutorial"], True), (["sales"], False), (["*"], True):
        part = placed("part", "sales", http=[PART], exportTo=exported)
        assert names(merge([other, part])) == [["part", "rest"] if seen else ["rest"]]


def test_a_delegate_alone_is_no_virtual_service_and_roots_come_last() -> None:
    plain = placed("plain", hosts=["shop"], http=[TO_SHOP])
    found = merge([placed("part", http=[PART]), root({"name": "part"}), plain])
    assert [each.name for each in found] == ["plain", "root"]


def test_the_leaf_keeps_what_it_sets_and_takes_the_rest_from_the_root() -> None:
    above = rule(name="above", timeout="3s", retries={"attempts": 1}, rewrite={"uri": "/a"})
    below = rule(name="below", timeout="1s", route=PART["route"])
    [found] = merge_routes(above, [below])
    assert found.name == "above-below"
    assert found.timeout == below.timeout and found.timeout != above.timeout
    assert found.retries == above.retries and found.rewrite == above.rewrite
    assert found.route == below.route and found.delegate is None


def test_both_conditions_hold() -> None:
    above = match(name="a", uri={"prefix": "/shop"}, headers={"x": {"exact": "1"}})
    below = match(name="b", uri={"prefix": "/shop/v2"}, headers={"y": {"exact": "2"}})
    [found] = merge_matches([above], [below]) or []
    assert found.name == "a-b"
    assert found.uri == StringMatch(prefix="/shop/v2")
    assert sorted(found.headers or {}) == ["x", "y"]


def test_a_leaf_may_only_be_narrower() -> None:
    table = (
        ({"prefix": "/a"}, {"prefix": "/a/b"}, False),
        ({"prefix": "/a"}, {"exact": "/a/b"}, False),
        ({"prefix": "/a/b"}, {"prefix": "/a"}, True),
        ({"prefix": "/a/b"}, {"exact": "/a"}, True),
        ({"exact": "/a"}, {"exact": "/a"}, False),
        ({"exact": "/a"}, {"exact": "/b"}, True),
        ({"exact": "/a"}, {"prefix": "/a"}, True),
        ({"regex": "/a.*"}, {"regex": "/a.*"}, True),
        ({"prefix": "/a"}, {"regex": "/a/.*"}, True),
        ({"regex": "/a.*"}, {"exact": "/a"}, True),
    )
    for above, below, differ in table:
        assert conflict(match(uri=above), match(uri=below)) == differ, (above, below)
        assert not conflict(match(uri=above), match())
        assert not conflict(match(), match(uri=below))


def test_other_conditions_that_contradict() -> None:
    for above, below in (
        ({"ignoreUriCase": True}, {}),
        ({"port": 80}, {"port": 81}),
        ({"sourceNamespace": "a"}, {}),
        ({"sourceLabels": {"v": "1"}}, {"sourceLabels": {"v": "2"}}),
        ({"gateways": ["a"]}, {"gateways": ["b"]}),
        ({"withoutHeaders": {"x": {"exact": "1"}}}, {"withoutHeaders": {"x": {"exact": "2"}}}),
        ({"queryParams": {"x": {"exact": "1"}}}, {"queryParams": {"x": {"prefix": "2"}}}),
    ):
        assert conflict(match(**above), match(**below)), (above, below)


def test_one_block_that_fits_nowhere_drops_the_rule() -> None:
    above = [match(uri={"prefix": "/a"}), match(uri={"prefix": "/b"})]
    assert merge_matches(above, [match(uri={"prefix": "/a/1"}), match(uri={"exact": "/c"})]) is None
    found = merge_matches(above, [match(uri={"prefix": "/a/1"}), match(method={"exact": "GET"})])
    assert found is not None
    uris = [each.uri.prefix for each in found if each.uri]
    assert uris == ["/a/1", "/a", "/b"]


PATHS = st.text("ab/", min_size=1, max_size=5).map(lambda text: "/" + text)
URIS = st.builds(
    lambda kind, text: {"uri": {kind: text}}, st.sampled_from(["exact", "prefix"]), PATHS
)


@given(URIS, URIS, PATHS)
def test_what_a_merged_uri_takes_the_root_takes_too(above: dict, below: dict, path: str) -> None:
    root_match, leaf = match(**above), match(**below)
    if conflict(root_match, leaf):
        return
    [merged] = merge_matches([root_match], [leaf]) or []
    if _takes(merged, path):
        assert _takes(root_match, path) and _takes(leaf, path)


def _takes(block: HTTPMatchRequest, path: str) -> bool:
    assert block.uri is not None
    if block.uri.exact is not None:
        return path == block.uri.exact
    return path.startswith(block.uri.prefix or "")


def test_the_route_table_has_the_merged_rules(view: Make, node: ProxyNode) -> None:
    above = ROOT + "  - {match: [{uri: {prefix: /shop}}], delegate: {name: part}}\n"
    above += "  - {route: [{destination: {host: recommendation}}]}\n"
    made = view(("VirtualService", "root", above), ("VirtualService", "part", DELEGATE))
    table = translate(made, node)[RDS]["http_proxy"]
    assert isinstance(table, RouteConfiguration)
    [host] = [each for each in table.virtual_hosts if each.name.startswith("recommendation")]
    assert [each.match.prefix for each in host.routes if each.match][:-1] == ["/shop/v2", "/"]
