"""HTTP rules: matches, actions, faults, retries, mirrors."""

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


ROUTE = "route: [{destination: {host: r}}]"


def rule(
    check: Check, fields: str, release: str = "istio-current", route: str = ROUTE
) -> list[Problem]:
    lines = "\n".join(f"  {line}" for line in (fields + "\n" + route).strip().splitlines())
    return check("VirtualService", "hosts: [r]\nhttp:\n- name: one\n" + lines, release)


@pytest.mark.parametrize(
    ("fields", "text", "path"),
    [
        ("timeout: 0s", "duration must be greater than 1ms", "timeout"),
        ("timeout: 1500us", "only durations to ms precision are supported", "timeout"),
        ("fault: {}", "HTTP fault injection must have an abort and/or a delay", "fault"),
        (
            "fault: {delay: {fixedDelay: 1s, percentage: {value: 101}}}",
            "percentage 101 is neither 0.0, nor in range [0.0001, 100.0]",
            "fault.delay.percentage.value",
        ),
        (
            "fault: {abort: {httpStatus: 199, percentage: {value: 5}}}",
            "HTTP status 199 is not in range 200-599",
            "fault.abort.httpStatus",
        ),
        (
            "fault: {delay: {exponentialDelay: 1s}}",
            "exponentialDelay not supported yet",
            "fault.delay.exponentialDelay",
        ),
        (
            "fault: {delay: {fixedDelay: 1s, percent: 200}}",
            "percentage 200 is not in range 0..100",
            "fault.delay.percent",
        ),
        ("retries: {attempts: -1}", "attempts cannot be negative", "retries.attempts"),
        (
            "retries: {perTryTimeout: 2s}",
            "http retry policy configured when attempts are set to 0 (disabled)",
            "retries",
        ),
        (
            "retries: {attempts: 1, retryOn: '5xx, reset'}",
            '" reset" is not a valid retryOn policy',
            "retries.retryOn",
        ),
        ("rewrite: {}", None, "rewrite"),
        (
            "rewrite: {uri: /, uriRegexRewrite: {match: a, rewrite: b}}",
            "rewrite may only contain one of URI or UriRegexRewrite",
            "rewrite",
        ),
        (
            "mirrorPercentage: {value: 101}",
            "mirror_percentage must have a max value of 100 (it has 101.000000)",
            "mirrorPercentage.value",
        ),
        (
            "mirror: {host: r}\nmirrors: [{destination: {host: r}}]",
            "HTTP route cannot contain both mirror and mirrors",
            "mirrors",
        ),
        (
            "match: [{method: {prefix: ''}}]",
            '"method": prefix string match should not be empty',
            "match[0].method.prefix",
        ),
        (
            "match: [{headers: {a b: {}}}]",
            "header name a b is not a valid header name",
            'match[0].headers["a b"]',
        ),
        (
            "headers: {response: {set: {host: x}}}",
            'invalid header "host": cannot set Host header',
            "headers.response.set.host",
        ),
        (
            "headers: {request: {add: {':path': x}}}",
            'invalid header ":path": header cannot have ":" prefix',
            'headers.request.add[":path"]',
        ),
        (
            "rewrite: {authority: a}\nheaders: {request: {set: {Host: b}}}",
            'authority header cannot be set multiple times: have "a", attempting to set "b"',
            "headers.request.set.Host",
        ),
        (
            "corsPolicy: {allowMethods: [get]}",
            '"get" is not a supported HTTP method',
            "corsPolicy.allowMethods[0]",
        ),
        (
            "corsPolicy: {maxAge: 1500ms}",
            "max_age duration is accurate only to seconds precision",
            "corsPolicy.maxAge",
        ),
        (
            "redirect: {uri: /x}",
            "HTTP route cannot contain both route and redirect",
            "",
        ),
        (
            "directResponse: {status: 200}",
            "HTTP route cannot contain both route and direct_response",
            "",
        ),
    ],
)
def test_texts_are_istios(check: Check, fields: str, text: str | None, path: str) -> None:
    problems = rule(check, fields)
    (problem,) = problems
    if text is None:
        text = (
            "rewrite must specify at least one of URI, UriRegexRewrite, or authority. "
            "Only one of URI or UriRegexRewrite may be specified"
        )
    assert texts(problems) == [text]
    assert problem.path == ("spec.http[0]." + path).rstrip(".")
    assert problem.position.line >= 7


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ("redirect: {}", "redirect must specify URI, authority, scheme, or port"),
        ("redirect: {uri: /, redirectCode: 200}", "200 is not a valid redirect code, must be 3xx"),
        ("redirect: {scheme: ftp}", 'invalid redirect scheme, must be "http" or "https"'),
        (
            "redirect: {uri: /}\nfault: {abort: {httpStatus: 500}}",
            "HTTP route cannot contain both fault and redirect",
        ),
        (
            "redirect: {uri: /}\nrewrite: {uri: /}",
            "HTTP route rule cannot contain both rewrite and redirect",
        ),
        ("directResponse: {status: 100}", "HTTP status 100 is not in range 200-599"),
        ("timeout: 1s", "HTTP route, redirect or direct_response is required"),
    ],
)
def test_rules_without_a_route(check: Check, fields: str, text: str) -> None:
    assert texts(rule(check, fields, route="")) == [text]


def test_the_old_releases_knew_no_direct_response(check: Check) -> None:
    assert texts(rule(check, "timeout: 1s", "istio-1.9", route="")) == [
        "HTTP route or redirect is required"
    ]


def test_a_space_after_the_comma_has_its_hint(check: Check) -> None:
    (problem,) = rule(check, "retries: {attempts: 1, retryOn: '5xx, reset'}")
    assert (problem.nearest, problem.hint) == ("reset", "Take the space out.")
    assert rule(check, "retries: {attempts: 1, retryOn: 'gateway-error,503,reset'}") == []


@pytest.mark.parametrize("field", ["uri", "authority"])
def test_regular_expressions_are_re2(check: Check, field: str) -> None:
    (problem,) = rule(check, f"match: [{{{field}: {{regex: '(?=x)a'}}}}]")
    (text,) = texts([problem])
    assert text.startswith(f'"{field}": error parsing regexp: ')
    assert text.endswith(
        "Istio uses RE2 style regex-based match (https://github.com/google/re2/wiki/Syntax)"
    )
    assert problem.path == f"spec.http[0].match[0].{field}.regex"
    long = "a" * 1025
    assert texts(rule(check, f"match: [{{{field}: {{regex: {long}}}}}]")) == [
        f'"{field}": regex is too large, max length allowed is 1024'
    ]
    assert rule(check, f"match: [{{{field}: {{regex: '.*(a|b)+'}}}}]") == []


def test_one_way_to_match(check: Check) -> None:
    (text,) = texts(rule(check, "match: [{uri: {exact: /a, prefix: /b}}]"))
    assert text == "uri: only one of exact, prefix, regex may be set, found exact, prefix"
    assert rule(check, "match: [{uri: {prefix: ''}}, {headers: {x: {}}}]") == []


def test_warnings(check: Check) -> None:
    assert texts(rule(check, "fault: {abort: {percentage: {value: 1}}}"), Level.WARNING) == [
        "abort configured, but error type not set"
    ]
    assert texts(rule(check, "mirror: {host: r}\nmirror_percent: 50"), Level.WARNING) == [
        'using deprecated setting "mirrorPercent", use "mirrorPercentage" instead'
    ]


def test_a_delegate(check: Check) -> None:
    assert texts(rule(check, "delegate: {name: x}")) == [
        "root HTTP route one must not specify route"
    ]
    assert rule(check, "delegate: {name: x}", route="") == []


def test_a_retry_policy_in_capitals_is_recognised(check: Check) -> None:
    (problem,) = rule(check, "retries: {attempts: 3, retryOn: 5XX}")
    assert (problem.nearest, problem.hint) == ("5xx", "Did you mean 5xx?")
