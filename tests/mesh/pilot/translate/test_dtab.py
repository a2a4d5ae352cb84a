from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import re2
from envoy_data_plane.envoy.config.route.v3 import Route, VirtualHost
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import RDS, translate
from mesh.pilot.translate.dtab import HEADER, last_entry, pattern
from mesh.pilot.translate.view import MeshView

Make = Callable[..., MeshView]
OWN = ["b", "b.ns", "bc", "b.ns.svc"]
NAMES = [*OWN, "b2", "a", "bn", "b.nt", "", "bcd", "B", "b.ns.sv"]
ENTRIES = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(["", " ", "\t"]),
    st.sampled_from(["/svc/", "/svc", "/sv", "svc/", "/"]),
    st.sampled_from(NAMES),
    st.sampled_from([" => ", "=>", " =>", "", " -> ", "=", " => /svc/b => "]),
    st.sampled_from(["/svc/", "/srv/", ""]),
    st.sampled_from(["b2", "b", "v", "b2x", "b2 | /svc/b", "a.b"]),
    st.sampled_from(["", " ", "  "]),
)
HEADERS = st.lists(ENTRIES, min_size=1, max_size=4).map(";".join)


COMPILED = {target: re2.compile(pattern(OWN, [target])) for target in ("b2", "v", "b")}


@given(HEADERS)
@example("/svc/b => /svc/b2")
@example("/svc/b => /svc/b2;/svc/b=>/svc/v")
@example("/svc/b => /svc/b2;/svc/bcd=>/svc/v;")
@example(" /svc/x => /svc/b2 ; /svc/b => /svc/b2 ; /svc/bb => /svc/b")
def test_the_pattern_finds_the_last_entry(header: str) -> None:
    for target, compiled in COMPILED.items():
        found = compiled.fullmatch(header) is not None
        assert found == (last_entry(header, OWN) == target), target


def hosts(view: MeshView, node: ProxyNode) -> dict[str, VirtualHost]:
    table = translate(replace(view, l5d_dtab=True), node)[RDS]["http_proxy"]
    return {each.name: each for each in table.virtual_hosts}  # type: ignore[attr-defined]


def clusters(routes: list[Route], header: str) -> list[str]:
    """The clusters of the routes that a request with this header meets, in order."""
    found = []
    for route in routes:
        assert route.match is not None
        texts = [
            each.string_match.safe_regex.regex
            for each in route.match.headers
            if each.name == HEADER and each.string_match and each.string_match.safe_regex
        ]
        if all(re2.fullmatch(text, header) for text in texts):
            found.append(route.route.cluster if route.route else "")
    return found


RULE = (
    "DestinationRule",
    "recommendation",
    "  host: recommendation\n  subsets:\n  - {name: v2, labels: {version: v2}}\n"
    "  - {name: v1, labels: {version: v1}}\n",
)
AT = "recommendation.tutorial.svc.cluster.local"


def test_a_name_leads_to_a_service_or_a_subset(view: Make, node: ProxyNode) -> None:
    routes = hosts(view(RULE), node)[f"{AT}:8080"].routes
    for header, cluster in (
        (
            "/svc/recommendation => /svc/customer",
            "outbound|8080||customer.tutorial.svc.cluster.local",
        ),
        ("/svc/recommendation => /svc/recommendation-v2", f"outbound|8080|v2|{AT}"),
        (
            "/svc/recommendation.tutorial => /svc/recommendation-v1.tutorial",
            f"outbound|8080|v1|{AT}",
        ),
        (
            f"/svc/{AT}=>/svc/customer.tutorial",
            "outbound|8080||customer.tutorial.svc.cluster.local",
        ),
        ("/svc/recommendation => /svc/nobody", f"outbound|8080||{AT}"),
        ("/svc/customer => /svc/recommendation-v2", f"outbound|8080||{AT}"),
        ("/svc/recommendation => /svc/recommendation", f"outbound|8080||{AT}"),
    ):
        assert clusters(routes, header)[0] == cluster, header


def test_the_targets_own_rules_hold(view: Make, node: ProxyNode) -> None:
    spec = "  hosts: [customer]\n  http:\n  - directResponse: {status: 418}\n"
    routes = hosts(view(("VirtualService", "customer", spec)), node)[f"{AT}:8080"].routes
    assert routes[0].direct_response is not None
    assert routes[0].match is not None and routes[0].match.headers[0].name == HEADER


def test_it_is_off_by_default(view: Make, node: ProxyNode) -> None:
    table = translate(view(RULE), node)[RDS]["http_proxy"]
    for host in table.virtual_hosts:  # type: ignore[attr-defined]
        assert len(host.routes) == 2  # the other one is for tunnels
