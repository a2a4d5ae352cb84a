"""What the API server refuses of the Gateway API's kinds, and what this kit says about them."""

from __future__ import annotations

import pytest

from mesh.istio import Level, Problem, era, load_text, validate

ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: tutorial}
spec: {parentRefs: [{name: shop}], rules: [%s]}
"""
GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: r, namespace: tutorial}
spec: {gatewayClassName: istio, listeners: [%s]}
"""
BACKEND = "backendRefs: [{name: b, port: 80}]"


def problems(text: str) -> list[Problem]:
    which = era("istio-current")
    loaded = load_text(text, "f.yaml", era=which)
    return [*loaded.problems, *validate(loaded.resources, which)]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("{backendRefs: [{name: b}]}", "Must have port for Service reference"),
        ("{backendRefs: [{name: b, port: 0}]}", "port number 0 must be in the range 1..65535"),
        ("{backendRefs: [{name: b, port: 80, weight: -1}]}", "weight -1 is not in range"),
        (
            "{matches: [{path: {value: a}}]}",
            "value must be an absolute path and start with '/' when type one of",
        ),
        ("{matches: [{path: {value: //}}]}", "must not contain '//'"),
        ("{matches: [{path: {value: /a/..}}]}", "must not end with '/..'"),
        ("{matches: [{path: {value: '/a b'}}]}", "must only contain valid characters"),
        ("{matches: [{path: {type: RegularExpression, value: '('}}]}", "error parsing regexp"),
        ("{matches: [{headers: [{name: 'a b', value: c}]}]}", '"a b" is no name of a header'),
        ("{matches: [{method: FETCH}]}", 'Unsupported value: "FETCH"'),
        (
            "{filters: [{type: URLRewrite}]}",
            "filter.urlRewrite must be specified for URLRewrite filter.type",
        ),
        (
            "{filters: [{type: RequestMirror, urlRewrite: {}}]}",
            "filter.urlRewrite must be nil if the filter.type is not URLRewrite",
        ),
        (
            "{filters: [{type: URLRewrite, urlRewrite: {}}, {type: URLRewrite, urlRewrite: {}}]}",
            "URLRewrite filter cannot be repeated",
        ),
        (
            "{filters: [{type: URLRewrite, urlRewrite: {}},"
            " {type: RequestRedirect, requestRedirect: {}}]}",
            "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite",
        ),
        (
            f"{{filters: [{{type: RequestRedirect, requestRedirect: {{}}}}], {BACKEND}}}",
            "RequestRedirect filter must not be used together with backendRefs",
        ),
        (
            "{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 200}}]}",
            "Unsupported value: 200: supported values: 301, 302, 303, 307, 308",
        ),
        (
            "{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}]}",
            "replaceFullPath must be specified when type is set to 'ReplaceFullPath'",
        ),
        (
            "{filters: [{type: URLRewrite, urlRewrite:"
            " {path: {type: ReplaceFullPath, replacePrefixMatch: /}}}]}",
            "type must be 'ReplacePrefixMatch' when replacePrefixMatch is set",
        ),
        (
            "{matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite:"
            " {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}",
            "When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {percent: 1, fraction: {numerator: 1},"
            " backendRef: {name: b, port: 80}}}]}",
            "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {fraction: {numerator: 101},"
            " backendRef: {name: b, port: 80}}}]}",
            "numerator must be less than or equal to denominator",
        ),
        (
            "{filters: [{type: ExtensionRef, extensionRef: {group: a, kind: B, name: c}}]}",
            'unsupported filter type "ExtensionRef"',
        ),
        (
            "{filters: [{type: RequestHeaderModifier, requestHeaderModifier:"
            " {set: [{name: a, value: '100%'}]}}]}",
            "has a single %",
        ),
        ("{timeouts: {request: 1.5s}}", "expected a duration such as 2s, 1s500ms"),
        (
            "{timeouts: {request: 1s, backendRequest: 2s}}",
            "backendRequest timeout cannot be longer than request timeout",
        ),
    ],
)
def test_routes_that_are_refused(rule: str, text: str) -> None:
    found = [each for each in problems(ROUTE % rule) if each.level is Level.ERROR]
    assert found, "nothing was found"
    assert any(text in each.message for each in found), [each.message for each in found]
    assert all(each.code == "IST0106" for each in found)
    assert {each.position.line for each in found} == {4}


def test_the_place_of_a_mistake() -> None:
    (found,) = problems(ROUTE % "{filters: [{type: CORS}]}")
    assert found.path == "spec.rules[0].filters[0]"
    assert 'spec.rules[0].filters[0]: Invalid value: "object": filter.cors' in found.message


def test_too_much_of_everything() -> None:
    rules = ", ".join(["{}"] * 17)
    (found,) = problems(ROUTE % rules)
    assert "spec.rules: " in found.message
    assert "at most 16 items" in found.message


@pytest.mark.parametrize(
    "rule",
    [
        "{}",
        BACKEND.join("{}"),
        "{timeouts: {request: 1s500ms, backendRequest: 1s}}",
        "{backendRefs: [{group: storage.example, kind: Bucket, name: b}]}",
        "{matches: [{path: {value: /a}}], filters: [{type: URLRewrite, urlRewrite:"
        " {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}",
        "{matches: [{path: {value: '/%41/~a'}, method: PATCH}]}",
    ],
)
def test_routes_that_are_right(rule: str) -> None:
    assert problems(ROUTE % rule) == []


def test_a_service_of_the_wrong_group() -> None:
    text = (ROUTE % "{}").replace("{name: shop}", "{kind: Service, name: shop}")
    (found,) = problems(text)
    assert found.level is Level.WARNING
    assert found.expected == 'group: ""'


def test_a_route_that_is_attached_to_nothing() -> None:
    (found,) = problems((ROUTE % "{}").replace("[{name: shop}]", "[]"))
    assert found.level is Level.WARNING


@pytest.mark.parametrize(
    ("listeners", "level", "text"),
    [
        ("", Level.ERROR, "spec.listeners: Required value"),
        (
            "{name: a, port: 80, protocol: HTTP, tls: {}}",
            Level.ERROR,
            "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
        ),
        (
            "{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}",
            Level.ERROR,
            "Listener name must be unique within the Gateway",
        ),
        (
            "{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}",
            Level.ERROR,
            "Combination of port, protocol and hostname must be unique for each listener",
        ),
        ("{name: a, port: 443, protocol: TLS}", Level.ERROR, "tls mode must be set"),
        ("{name: a, port: 443, protocol: HTTPS}", Level.INFO, "a listener for HTTPS: accepted"),
        ("{name: a, port: 80, protocol: http}", Level.WARNING, '"HTTP" (uppercase) may be'),
        ("{name: a, port: 80, protocol: HTTP, hostname: a_b}", Level.ERROR, "no host name"),
    ],
)
def test_listeners(listeners: str, level: Level, text: str) -> None:
    (found,) = [each for each in problems(GATEWAY % listeners) if each.level is level]
    assert text in found.message


def test_another_controllers_gateway() -> None:
    text = (GATEWAY % "{name: a, port: 80, protocol: HTTP}").replace(": istio,", ": nginx,")
    (found,) = problems(text)
    assert (found.code, found.level) == ("KIT0011", Level.INFO)
