"""VirtualService: hosts, gateways, destinations and weights."""

from collections.abc import Callable

import pytest

from mesh.istio import Level, Problem

type Check = Callable[..., list[Problem]]


def texts(problems: list[Problem], level: Level = Level.ERROR) -> list[str]:
    prefixes = ("Schema validation error: ", "Schema validation warning: ")
    found = [problem.message for problem in problems if problem.level is level]
    for prefix in prefixes:
        found = [text.removeprefix(prefix) for text in found]
    return found


SPLIT = """
hosts: [r]
http:
- route:
  - destination: {{host: r, subset: v1}}
    weight: {0}
  - destination: {{host: r, subset: v2}}
    weight: {1}
"""


def test_a_right_one_is_right_in_every_era(check: Check) -> None:
    for release in ("istio-1.0", "istio-1.9", "istio-1.28"):
        assert check("VirtualService", SPLIT.format(90, 10), release) == []


def test_weights_by_era(check: Check) -> None:
    for release in ("istio-1.0", "istio-1.9"):
        (problem,) = check("VirtualService", SPLIT.format(90, 20), release)
        assert texts([problem]) == ["total destination weight 110 != 100"]
        assert (problem.code, problem.path) == ("IST0106", "spec.http[0].route")
        assert problem.position.line == 7
        assert problem.position.file == "f.yaml"
    (remark,) = check("VirtualService", SPLIT.format(3, 1), "istio-1.28")
    assert (remark.level, remark.code) == (Level.INFO, "KIT0010")
    assert "3/4, 1/4" in remark.message


def test_weights_that_are_nothing(check: Check) -> None:
    (problem,) = check("VirtualService", SPLIT.format(0, 0))
    assert texts([problem]) == ["total destination weight = 0"]
    assert texts(check("VirtualService", SPLIT.format(-1, 101))) == ["weight -1 < 0"]


def test_a_single_destination_has_everything(check: Check) -> None:
    spec = "hosts: [r]\nhttp: [{route: [{destination: {host: r}, weight: 30}]}]"
    (remark,) = check("VirtualService", spec)
    assert "one destination gets all requests" in remark.message
    assert check("VirtualService", spec, "istio-1.0") == []


@pytest.mark.parametrize(
    ("spec", "text", "path"),
    [
        ("hosts: [r]", "http, tcp or tls must be provided in virtual service", "spec"),
        (
            "hosts: ['*']\nhttp: [{route: [{destination: {host: r}}]}]",
            "wildcard host * is not allowed for virtual services bound to the mesh gateway",
            "spec.hosts[0]",
        ),
        (
            "hosts: [a.b.com, '*.b.com']\nhttp: [{route: [{destination: {host: r}}]}]",
            "duplicate hosts in virtual service: a.b.com & *.b.com",
            "spec.hosts[1]",
        ),
        (
            "hosts: ['*.{tutorial}.svc']\nhttp: [{route: [{destination: {host: r}}]}]",
            'domain name "*.{tutorial}.svc" invalid (label "{tutorial}" invalid)',
            "spec.hosts[0]",
        ),
        (
            "hosts: [r]\nhttp: [{route: [{destination: {host: '*'}}]}]",
            "invalid destination host *",
            "spec.http[0].route[0].destination.host",
        ),
        (
            "hosts: [r]\nhttp: [{route: [{destination: {host: r, subset: v_1}}]}]",
            "subset name is invalid: v_1",
            "spec.http[0].route[0].destination.subset",
        ),
        (
            "hosts: [r]\nhttp: [{route: [{destination: {host: r, port: {number: 70000}}}]}]",
            "port number 70000 must be in the range 1..65535",
            "spec.http[0].route[0].destination.port.number",
        ),
        (
            "gateways: [g]\nhttp: [{route: [{destination: {host: r}}]}]",
            "delegate virtual service must have no gateways specified",
            "spec.gateways",
        ),
        (
            "hosts: [r]\ngateways: [ns/g.x]\nhttp: [{route: [{destination: {host: r}}]}]",
            'invalid value for gateway name: "g.x"',
            "spec.gateways[0]",
        ),
        (
            "hosts: [r]\nhttp: [{match: [{headers: {'@request.auth.claims.x': {exact: a}}}],"
            " route: [{destination: {host: r}}]}]",
            "JWT claim based routing (key: @request.auth.claims.x) is only supported for gateway, "
            "found no gateways: []",
            'spec.http[0].match[0].headers["@request.auth.claims.x"]',
        ),
        (
            "hosts: [a.com]\ntls: [{match: [{sniHosts: [b.com]}], route: [{destination: {host: r}}]}]",
            'SNI host "b.com" is not a compatible subset of any of the virtual service hosts: [a.com]',
            "spec.tls[0].match[0].sniHosts[0]",
        ),
        ("hosts: [r]\ntcp: [{match: [{port: 1}]}]", "TCP route is required", "spec.tcp[0]"),
        (
            "hosts: [r]\nexportTo: ['*', x]\nhttp: [{route: [{destination: {host: r}}]}]",
            "cannot have both public (*) and non-public exportTo values for a resource",
            "spec.exportTo",
        ),
    ],
)
def test_texts_are_istios(check: Check, spec: str, text: str, path: str) -> None:
    (problem,) = check("VirtualService", spec)
    assert texts([problem]) == [text]
    assert problem.path == path
    assert problem.resource == "VirtualService tutorial/r"


def test_a_gateway_with_dots_is_the_old_form(check: Check) -> None:
    spec = "hosts: ['*']\ngateways: [g.ns.svc]\nhttp: [{route: [{destination: {host: r}}]}]"
    assert texts(check("VirtualService", spec), Level.WARNING) == [
        'using legacy gatewayName format "g.ns.svc"; prefer the <namespace>/<name> format: "ns/g"'
    ]
