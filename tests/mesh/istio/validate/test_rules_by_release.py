"""Rules that came with some release of Istio, or went: the words of each, and a good spec beside it."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from mesh.istio import Level, Problem, era, load_text, validate

type Check = Callable[..., list[Problem]]
OLD, NEW = "istio-1.9", "istio-current"


@dataclass(frozen=True)
class Rule:
    """A spec that breaks a rule, what is said in which release, and the same put right."""

    kind: str
    bad: str
    words: str
    good: str
    old: bool = False
    level: Level = Level.ERROR


def server(tls: str) -> str:
    port = "{number: 443, name: https, protocol: HTTPS}"
    return f"servers: [{{port: {port}, hosts: ['*.example'], tls: {{{tls}}}}}]"


def entry(more: str, host: str = "a.example", protocol: str = "HTTP") -> str:
    port = f"{{number: 80, name: p, protocol: {protocol}}}"
    return f"{{hosts: ['{host}'], ports: [{port}], {more}}}"


def balanced(more: str) -> str:
    return f"host: a\ntrafficPolicy: {{{more}}}"


def routed(more: str) -> str:
    return f"hosts: [a.example]\nhttp: [{{{more}}}]"


def passed(host: str, gateways: str = "gateways: [gate]") -> str:
    match = f"match: [{{sniHosts: ['{host}']}}]"
    return (
        f"hosts: ['{host}']\n{gateways}\ntls: [{{{match}, route: [{{destination: {{host: a}}}}]}}]"
    )


def inbound(more: str, protocol: str = "HTTP") -> str:
    port = f"port: {{number: 80, name: p, protocol: {protocol}}}"
    return f"ingress: [{{{port}, defaultEndpoint: '127.0.0.1:80', {more}}}]"


def outbound(*listeners: str) -> str:
    egress = ", ".join(f"{{hosts: ['./*'], {each}}}" for each in listeners)
    return f"egress: [{egress}]"


CERT = "serverCertificate: c, privateKey: k"
SOCKET = "bind: 'unix:///a', port: {number: 0, protocol: HTTP}"
TO_A = "route: [{destination: {host: a}}]"
RULES = {
    "two sources of a certificate": Rule(
        "Gateway",
        server(f"mode: SIMPLE, credentialName: s, {CERT}"),
        "only one of credential_name, credential_names",
        server("mode: SIMPLE, credentialName: s"),
    ),
    "a certificate without a key": Rule(
        "Gateway",
        server("mode: SIMPLE, tlsCertificates: [{serverCertificate: c}]"),
        "SIMPLE TLS requires a private key",
        server(f"mode: SIMPLE, tlsCertificates: [{{{CERT}}}]"),
        old=True,
    ),
    "three certificates": Rule(
        "Gateway",
        server(f"mode: SIMPLE, tlsCertificates: [{{{CERT}}}, {{{CERT}}}, {{{CERT}}}]"),
        "SIMPLE TLS can support up to 2 server certificates",
        server(f"mode: SIMPLE, tlsCertificates: [{{{CERT}}}, {{{CERT}}}]"),
        old=True,
        level=Level.WARNING,
    ),
    "cipher suites that nobody knows": Rule(
        "Gateway",
        server("mode: SIMPLE, credentialName: s, cipherSuites: [b, a, b]"),
        "ignoring invalid cipher suites: [a b]",
        server("mode: SIMPLE, credentialName: s, cipherSuites: [AES128-SHA, -ALL, ALL]"),
        old=True,
        level=Level.WARNING,
    ),
    "a cipher suite twice": Rule(
        "Gateway",
        server("mode: SIMPLE, credentialName: s, cipherSuites: [AES128-SHA, AES128-SHA]"),
        "ignoring duplicate cipher suites: [AES128-SHA]",
        server("mode: SIMPLE, credentialName: s, cipherSuites: [AES128-SHA, AES256-SHA]"),
        level=Level.WARNING,
    ),
    "names of a server that is not checked": Rule(
        "DestinationRule",
        balanced("tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}"),
        "cannot specify CaCertificates or CredentialName or SubjectAltNames when",
        balanced("tls: {mode: SIMPLE, insecureSkipVerify: true}"),
        old=True,
    ),
    "half a keepalive": Rule(
        "DestinationRule",
        balanced("connectionPool: {http: {http2KeepAlive: {interval: 15s}}}"),
        "http2 keepalive timeout is required",
        balanced("connectionPool: {http: {http2KeepAlive: {interval: 15s, timeout: 5s}}}"),
        old=True,
    ),
    "two ways to be near": Rule(
        "DestinationRule",
        balanced("loadBalancer: {zoneAwareLbSetting: {}, localityLbSetting: {}}"),
        "only one of localityLbSetting and zoneAwareLbSetting can be set",
        balanced("loadBalancer: {zoneAwareLbSetting: {}}"),
        old=True,
    ),
    "a duration with nanoseconds": Rule(
        "DestinationRule",
        balanced("outlierDetection: {interval: 2.000000005s}"),
        "only durations to ms precision are supported",
        balanced("outlierDetection: {interval: 2.005s}"),
        old=True,
    ),
    "a backoff that is too short": Rule(
        "VirtualService",
        routed(f"retries: {{attempts: 1, backoff: 0.5ms}}, {TO_A}"),
        "duration must be greater than 1ms",
        routed(f"retries: {{attempts: 1, backoff: 5ms}}, {TO_A}"),
        old=True,
    ),
    "a redirect to a path and a prefix": Rule(
        "VirtualService",
        routed("redirect: {uri: /a, prefixRewrite: /b}"),
        "redirect may only specify one of uri or prefix_rewrite",
        routed("redirect: {prefixRewrite: /b}"),
        old=True,
    ),
    "a redirect of a prefix that is none": Rule(
        "VirtualService",
        routed("match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /b}"),
        "redirect prefix_rewrite requires all URI matches to use prefix match type",
        routed("match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /b}"),
        old=True,
    ),
    "a server name that is no cluster's": Rule(
        "VirtualService",
        passed("outbound_.x_._.a.example"),
        "should follow outbound_.<PORT>_._.<HOSTNAME> format",
        passed("outbound_.80_._.a.example"),
    ),
    "a wildcard in the middle of a label": Rule(
        "ServiceEntry",
        entry("resolution: NONE", "*a.example"),
        'partial wildcard "*a.example" not allowed',
        entry("resolution: NONE", "*.a.example"),
        level=Level.WARNING,
    ),
    "TCP without an address": Rule(
        "ServiceEntry",
        entry("resolution: NONE", protocol="TCP"),
        "addresses are required for ports serving TCP (or unset) protocol",
        entry("resolution: DNS", protocol="TCP"),
        level=Level.WARNING,
    ),
    "two hosts at one address": Rule(
        "ServiceEntry",
        entry("resolution: DNS, addresses: [10.0.0.1]", "a.example', 'b.example", "TLS"),
        "service entry can not have more than one host specified simultaneously",
        entry("resolution: DNS, addresses: [10.0.0.1]", "a.example", "TLS"),
        level=Level.WARNING,
    ),
    "a socket found by DNS": Rule(
        "ServiceEntry",
        entry("resolution: DNS, endpoints: [{address: 'unix:///a'}]"),
        'endpoint address "unix:///a" is not a valid FQDN or an IP address',
        entry("resolution: STATIC, endpoints: [{address: 'unix:///a'}]"),
        old=True,
    ),
    "one host by dynamic DNS": Rule(
        "ServiceEntry",
        entry("resolution: DYNAMIC_DNS"),
        "host must be wildcarded for resolution mode DYNAMIC_DNS",
        entry("resolution: DYNAMIC_DNS", "*.example"),
        old=True,
    ),
    "TCP by dynamic DNS": Rule(
        "ServiceEntry",
        entry("resolution: DYNAMIC_DNS", "*.example", "TLS"),
        "only HTTP protocol is supported for resolution type DYNAMIC_DNS",
        entry("resolution: DYNAMIC_DNS", "*.example"),
        old=True,
    ),
    "a probe that asks nothing": Rule(
        "WorkloadGroup",
        "{template: {}, probe: {periodSeconds: 1}}",
        "unknown health check method",
        "{template: {}, probe: {tcpSocket: {port: 80}}}",
        old=True,
    ),
    "callers by account and by name": Rule(
        "AuthorizationPolicy",
        "rules: [{from: [{source: {serviceAccounts: [a/b], namespaces: [a]}}]}]",
        "cannot set serviceAccounts with namespaces or principals, found at rule 0",
        "rules: [{from: [{source: {serviceAccounts: [a/b]}}]}]",
        old=True,
    ),
    "a condition without a value": Rule(
        "AuthorizationPolicy",
        "rules: [{when: [{key: 'request.headers[a]', values: ['']}]}]",
        "invalid `value` for `key` request.headers[a]:",
        "rules: [{when: [{key: 'request.headers[a]', values: [a]}]}]",
        old=True,
    ),
    "an inbound listener at a socket": Rule(
        "Sidecar",
        inbound("bind: 'unix:///a'"),
        "unix:///a is not a valid IP",
        inbound("bind: 127.0.0.1"),
        old=True,
    ),
    "two listeners at one socket": Rule(
        "Sidecar",
        outbound(SOCKET, SOCKET),
        "sidecar: unix domain socket values for listeners must be unique",
        outbound(SOCKET, SOCKET.replace("///a", "///b")),
        old=True,
    ),
    "a socket that is captured": Rule(
        "Sidecar",
        outbound(f"{SOCKET}, captureMode: IPTABLES"),
        "sidecar: captureMode must be DEFAULT/NONE for unix domain socket listeners",
        outbound(f"{SOCKET}, captureMode: NONE"),
        old=True,
    ),
    "a port 0 without a socket": Rule(
        "Sidecar",
        outbound("port: {number: 0, protocol: HTTP}"),
        "sidecar: ports with 0 value must have a unix domain socket bind address",
        outbound(SOCKET),
        old=True,
    ),
    "TLS at a plain port": Rule(
        "Sidecar",
        inbound(f"tls: {{mode: SIMPLE, {CERT}}}"),
        "server cannot have TLS settings for non HTTPS/TLS ports",
        inbound(f"tls: {{mode: SIMPLE, {CERT}}}", "HTTPS"),
    ),
    "Secrets of a sidecar": Rule(
        "Sidecar",
        inbound("tls: {mode: SIMPLE, credentialNames: [a]}", "HTTPS"),
        "sidecar: credentialNames is not currently supported",
        inbound(f"tls: {{mode: SIMPLE, {CERT}}}", "HTTPS"),
        old=True,
    ),
    "limits of requests at a TCP port": Rule(
        "Sidecar",
        inbound("connectionPool: {http: {maxRetries: 1}}", "TCP"),
        'for port 80 ("p") but its protocol is not HTTP (TCP); only TCP settings will apply',
        inbound("connectionPool: {tcp: {maxConnections: 1}}", "TCP"),
        level=Level.WARNING,
    ),
}
GONE = {
    "a cookie without a ttl": Rule(
        "DestinationRule",
        balanced("loadBalancer: {consistentHash: {httpCookie: {name: a}}}"),
        "ttl required for HttpCookie",
        balanced("loadBalancer: {consistentHash: {httpCookie: {name: a, ttl: 1s}}}"),
    ),
    "a regular expression in a delegate": Rule(
        "VirtualService",
        "http: [{match: [{headers: {a: {regex: b}}}], route: [{destination: {host: a}}]}]",
        "headers match does not support regex match for delegating",
        "http: [{match: [{headers: {a: {exact: b}}}], route: [{destination: {host: a}}]}]",
    ),
    "a selector of hosts by DNS": Rule(
        "ServiceEntry",
        entry("resolution: DNS, workloadSelector: {labels: {a: b}}"),
        "workloadSelector should not be set when resolution mode is DNS",
        entry("resolution: STATIC, workloadSelector: {labels: {a: b}}"),
        level=Level.WARNING,
    ),
    "a listener without an endpoint": Rule(
        "Sidecar",
        "ingress: [{port: {number: 80, name: p, protocol: HTTP}}]",
        "sidecar: defaultEndpoint must be of form 127.0.0.1:<port> or 0.0.0.0:<port>",
        inbound("bind: 127.0.0.1"),
    ),
}


def said(problems: list[Problem], rule: Rule) -> bool:
    return any(each.level is rule.level and rule.words in each.message for each in problems)


@pytest.mark.parametrize("rule", [pytest.param(rule, id=name) for name, rule in RULES.items()])
def test_a_rule_of_today(check: Check, rule: Rule) -> None:
    assert said(check(rule.kind, rule.bad), rule)
    assert not said(check(rule.kind, rule.good), rule)
    assert [each for each in check(rule.kind, rule.good) if each.level is Level.ERROR] == []


@pytest.mark.parametrize(
    "rule", [pytest.param(rule, id=name) for name, rule in RULES.items() if not rule.old]
)
def test_an_old_release_does_not_have_it(check: Check, rule: Rule) -> None:
    assert not said(check(rule.kind, rule.bad, OLD), rule)


@pytest.mark.parametrize("rule", [pytest.param(rule, id=name) for name, rule in GONE.items()])
def test_a_rule_of_an_old_release(check: Check, rule: Rule) -> None:
    assert said(check(rule.kind, rule.bad, OLD), rule)
    assert not said(check(rule.kind, rule.good, OLD), rule)
    assert not said(check(rule.kind, rule.bad, NEW), rule)


def test_a_lone_star_asks_for_a_header_that_is_not_there(check: Check) -> None:
    assert (
        check(
            "VirtualService", routed(f"match: [{{withoutHeaders: {{a: {{regex: '*'}}}}}}], {TO_A}")
        )
        == []
    )


@pytest.mark.parametrize(
    ("kind", "spec", "value", "words"),
    [
        ("AuthorizationPolicy", "{action: DENY, rules: [{}]}", "true", ""),
        ("AuthorizationPolicy", "{}", "yes", "with invalid value (yes): strconv.ParseBool"),
        ("AuthorizationPolicy", "{action: AUDIT}", "true", "only supports action ALLOW/DENY"),
        ("PeerAuthentication", "{}", "true", "has unsupported annotation istio.io/dry-run"),
    ],
)
def test_what_may_be_tried(kind: str, spec: str, value: str, words: str) -> None:
    text = (
        f"apiVersion: security.istio.io/v1\nkind: {kind}\n"
        f"metadata: {{name: a, annotations: {{istio.io/dry-run: '{value}'}}}}\nspec: {spec}\n"
    )
    release = era(NEW)
    found = validate(load_text(text, era=release).resources, release)
    assert len(found) == bool(words)
    assert all(words in each.message and each.position.line == 3 for each in found)
