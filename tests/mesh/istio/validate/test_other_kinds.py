"""The rules of all other kinds."""

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


@pytest.mark.parametrize(
    ("kind", "spec", "text", "path"),
    [
        ("Gateway", "selector: {a: b}", "gateway must have at least one server", "spec"),
        (
            "Gateway",
            "servers: [{port: {number: 443, name: s, protocol: HTTPS}, hosts: ['*']}]",
            "server must have TLS settings for HTTPS/TLS protocols",
            "spec.servers[0]",
        ),
        (
            "Gateway",
            "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']},"
            " {port: {number: 81, name: a, protocol: HTTP}, hosts: ['*']}]",
            "port names in servers must be unique: duplicate name a",
            "spec.servers[1].port.name",
        ),
        (
            "Gateway",
            "servers: [{port: {number: 80, name: a, protocol: HTTTP}, hosts: ['*']}]",
            'invalid protocol "HTTTP", supported protocols are HTTP, HTTP2, GRPC, GRPC-WEB, MONGO, '
            "REDIS, MYSQL, TCP",
            "spec.servers[0].port.protocol",
        ),
        (
            "Gateway",
            "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [customer]}]",
            "short names (non FQDN) are not allowed",
            "spec.servers[0].hosts[0]",
        ),
        (
            "Gateway",
            "servers: [{port: {number: 443, name: a, protocol: HTTPS}, hosts: ['*'],"
            " tls: {mode: SIMPLE, privateKey: k}}]",
            "SIMPLE TLS requires a server certificate",
            "spec.servers[0].tls",
        ),
        ("ServiceEntry", "hosts: []", "service entry must have at least one host", "spec.hosts"),
        ("ServiceEntry", "hosts: ['*']", "invalid host *", "spec.hosts[0]"),
        (
            "ServiceEntry",
            "hosts: [a.com]\nports: [{number: 80, name: a}, {number: 81, name: a}]",
            'service entry port name "a" already defined',
            "spec.ports[1].name",
        ),
        (
            "ServiceEntry",
            "hosts: [a.com]\nendpoints: [{address: 1.2.3.4}]",
            "no endpoints should be provided for resolution type none",
            "spec.endpoints",
        ),
        (
            "ServiceEntry",
            "hosts: [a.com]\nresolution: STATIC\nendpoints: [{address: b.com}]",
            'endpoint address "b.com" is not a valid IP address',
            "spec.endpoints[0].address",
        ),
        (
            "ServiceEntry",
            "hosts: ['*.a.com']\nresolution: DNS",
            "hosts must be FQDN or contain only prefix wildcards if no endpoints are provided for "
            'resolution mode DNS, domain name "*.a.com" invalid (label "*" invalid)',
            "spec.hosts[0]",
        ),
        ("WorkloadEntry", "labels: {a: b}", "address is required", "spec.address"),
        (
            "WorkloadGroup",
            "template: {}\nprobe: {periodSeconds: -1, httpGet: {port: 80}}",
            "periodSeconds must be non-negative",
            "spec.probe.periodSeconds",
        ),
        ("Sidecar", "{}", "sidecar: empty configuration provided", "spec"),
        (
            "Sidecar",
            "egress: [{hosts: [customer.tutorial]}]",
            "host must be of form namespace/dnsName",
            "spec.egress[0].hosts[0]",
        ),
        (
            "Sidecar",
            "egress: [{hosts: ['./*']}, {port: {number: 80, protocol: HTTP}, hosts: ['./*']}]",
            "sidecar: the egress listener with empty port should be the last listener in the list",
            "spec.egress[0]",
        ),
        (
            "PeerAuthentication",
            "portLevelMtls: {8080: {mode: STRICT}}",
            "mesh/namespace peer authentication cannot have port level mTLS",
            "spec.portLevelMtls",
        ),
        (
            "PeerAuthentication",
            "selector: {matchLabels: {a: b}}\nportLevelMtls: {0: {mode: STRICT}}",
            "port must be in range 1..65535",
            "spec.portLevelMtls.0",
        ),
        (
            "RequestAuthentication",
            "jwtRules: [{audiences: [a]}]",
            "issuer or jwksUri must be non-empty string",
            "spec.jwtRules[0]",
        ),
        (
            "RequestAuthentication",
            "jwtRules: [{issuer: a, jwksUri: 'ftp://x'}]",
            'URI scheme "ftp" is not supported',
            "spec.jwtRules[0].jwksUri",
        ),
        (
            "AuthorizationPolicy",
            "action: DENY",
            "DENY action without `rules` is meaningless as it will never be triggered, add an "
            "empty rule `{}` if you want it be triggered for every request",
            "spec",
        ),
        (
            "AuthorizationPolicy",
            "rules: [{from: []}]",
            "`from` must not be empty, found at rule 0",
            "spec.rules[0].from",
        ),
        (
            "AuthorizationPolicy",
            "rules: [{from: [{source: {}}]}]",
            "`from.source` must not be empty, found at rule 0",
            "spec.rules[0].from[0].source",
        ),
        (
            "AuthorizationPolicy",
            "rules: [{when: [{key: source.namespace}]}]",
            "at least one of `values` or `notValues` must be set for key source.namespace",
            "spec.rules[0].when[0]",
        ),
        (
            "AuthorizationPolicy",
            "rules: [{when: [{key: source.nam, values: [a]}]}]",
            "invalid `value` for `key` source.nam: unknown attribute: source.nam",
            "spec.rules[0].when[0].key",
        ),
        (
            "AuthorizationPolicy",
            "rules: [{to: [{operation: {ports: ['http']}}]}]",
            "invalid port http",
            "spec.rules[0].to[0].operation.ports[0]",
        ),
        (
            "AuthorizationPolicy",
            "provider: {name: x}",
            "`provider` must not be with non CUSTOM action, found ALLOW",
            "spec.provider",
        ),
        (
            "AuthorizationPolicy",
            "selector: {matchLabels: {app: 'a*'}}",
            'wildcard is not supported in selector: "app=a*"',
            "spec.selector.matchLabels.app",
        ),
        (
            "Telemetry",
            "tracing: [{randomSamplingPercentage: 101}]",
            "randomSamplingPercentage must be in range [0.0, 100.0]",
            "spec.tracing[0].randomSamplingPercentage",
        ),
        (
            "Telemetry",
            "accessLogging: [{providers: [{name: ''}]}]",
            "providers.name may not be empty",
            "spec.accessLogging[0].providers[0].name",
        ),
    ],
)
def test_texts_are_istios(check: Check, kind: str, spec: str, text: str, path: str) -> None:
    problems = [each for each in check(kind, spec) if each.level is not Level.INFO]
    assert texts(problems) == [text]
    assert problems[0].path == path
    assert problems[0].position.line >= 4


@pytest.mark.parametrize(
    ("kind", "name", "spec", "text"),
    [
        (
            "ServiceRole",
            "r",
            "rules: [{services: []}]",
            "at least 1 service must be specified for rule 0",
        ),
        (
            "ServiceRoleBinding",
            "r",
            "subjects: [{user: '*'}]\nroleRef: {kind: Role, name: r}",
            'kind set to "Role", but only supports "ServiceRole"',
        ),
        (
            "ClusterRbacConfig",
            "r",
            "mode: 'ON'",
            'ClusterRbacConfig has invalid name(r), name must be "default"',
        ),
        (
            "ClusterRbacConfig",
            "default",
            "mode: ON_WITH_INCLUSION",
            "inclusion cannot be null for mode ON_WITH_INCLUSION",
        ),
        (
            "Policy",
            "default",
            "targets: [{name: a}]\npeers: [{mtls: {}}]",
            "authentication policy with name default must not have target rules",
        ),
        (
            "MeshPolicy",
            "r",
            "peers: [{mtls: {}}]",
            "cluster-scoped authentication policy name must be default, found r",
        ),
    ],
)
def test_the_lectures_kinds(check: Check, kind: str, name: str, spec: str, text: str) -> None:
    assert texts(check(kind, spec, "istio-1.0", name)) == [text]


def test_what_is_right_says_nothing(check: Check) -> None:
    right = {
        "Gateway": "servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]",
        "ServiceEntry": "hosts: [a.com]\nports: [{number: 80, name: http, protocol: HTTP}]\nresolution: DNS",
        "Sidecar": "egress: [{hosts: ['./*', istio-system/*]}]",
        "PeerAuthentication": "mtls: {mode: STRICT}",
        "RequestAuthentication": "jwtRules: [{issuer: a, jwksUri: 'https://a.com/k'}]",
        "AuthorizationPolicy": "rules: [{from: [{source: {principals: ['cluster.local/ns/t/sa/c']}}]}]",
        "Telemetry": "accessLogging: [{providers: [{name: envoy}]}]",
    }
    for kind, spec in right.items():
        assert check(kind, spec) == []
    assert check("AuthorizationPolicy", "{}") == []
    assert check("AuthorizationPolicy", "rules: [{}]") == []


def test_a_deny_by_http_alone_closes_tcp_ports(check: Check) -> None:
    spec = "action: DENY\nrules: [{to: [{operation: {paths: [/admin]}}]}]"
    (text,) = texts(check("AuthorizationPolicy", spec), Level.WARNING)
    assert text.startswith("configured AuthorizationPolicy will deny all traffic to TCP ports")
    spec = "action: DENY\nrules: [{to: [{operation: {paths: [/admin], ports: ['8080']}}]}]"
    assert check("AuthorizationPolicy", spec) == []


def test_the_issuer_by_era(check: Check) -> None:
    spec = "jwtRules: [{jwksUri: 'https://a.com/k'}]"
    assert check("RequestAuthentication", spec) == []
    assert texts(check("RequestAuthentication", spec, "istio-1.9")) == ["issuer must be set"]


def test_accepted_without_effect(check: Check) -> None:
    (remark,) = check("WasmPlugin", "url: oci://x/y")
    assert (remark.code, remark.level) == ("KIT0011", Level.INFO)
    assert remark.message == "WasmPlugin: accepted, no effect in this kit"


def test_a_filter_of_the_access_log_that_has_no_effect(check: Check) -> None:
    envoy, errors = "providers: [{name: envoy}]", "filter: {expression: 'response.code >= 400'}"
    assert check("Telemetry", f"accessLogging: [{{{envoy}, {errors}}}]") == []
    (remark,) = check("Telemetry", f"accessLogging: [{{{errors}}}]")
    assert remark.code == "KIT0011"
    assert remark.message.endswith("where providers name the log it is for")
    cel = errors.replace("response.code >= 400", "has(response.code)")
    (remark,) = check("Telemetry", f"accessLogging: [{{{envoy}, {cel}}}]")
    assert remark.message.startswith("this filter has no effect in this kit: no function 'has'")
