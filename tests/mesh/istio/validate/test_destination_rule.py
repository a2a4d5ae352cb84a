"""DestinationRule: hosts, subsets, pools, outlier detection, balancers, TLS."""

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
    ("spec", "text", "path"),
    [
        ("host: ''", "empty domain name not allowed", "spec.host"),
        (
            "host: '*.{tutorial}.svc.cluster.local'",
            'domain name "*.{tutorial}.svc.cluster.local" invalid (label "{tutorial}" invalid)',
            "spec.host",
        ),
        (
            "host: r\nsubsets: [{name: v1}, {name: v1}]",
            "duplicate subset names: v1",
            "spec.subsets[1].name",
        ),
        (
            "host: r\nsubsets: [{name: v1, labels: {version: 'v 1'}}]",
            'invalid tag value: "v 1"',
            "spec.subsets[0].labels.version",
        ),
        (
            "host: r\ntrafficPolicy: {}",
            "traffic policy must have at least one field",
            "spec.trafficPolicy",
        ),
        (
            "host: r\ntrafficPolicy: {portLevelSettings: [{port: {number: 80}}]}",
            "port traffic policy must have at least one field",
            "spec.trafficPolicy.portLevelSettings[0]",
        ),
        (
            "host: '10.1'",
            'domain name "10.1" invalid (top level domain "1" cannot be all-numeric)',
            "spec.host",
        ),
    ],
)
def test_texts_are_istios(check: Check, spec: str, text: str, path: str) -> None:
    (problem,) = check("DestinationRule", spec)
    assert texts([problem]) == [text]
    assert problem.path == path


@pytest.mark.parametrize(
    ("policy", "text", "path"),
    [
        ("connectionPool: {}", "connection pool must have at least one field", "connectionPool"),
        (
            "connectionPool: {http: {http1MaxPendingRequests: -1}}",
            "http1 max pending requests must be non-negative",
            "connectionPool.http.http1MaxPendingRequests",
        ),
        (
            "connectionPool: {tcp: {maxConnections: -1}}",
            "max connections must be non-negative",
            "connectionPool.tcp.maxConnections",
        ),
        (
            "connectionPool: {tcp: {connectTimeout: 0s}}",
            "duration must be greater than 1ms",
            "connectionPool.tcp.connectTimeout",
        ),
        (
            "outlierDetection: {maxEjectionPercent: 101}",
            "percentage 101 is not in range 0..100",
            "outlierDetection.maxEjectionPercent",
        ),
        (
            "outlierDetection: {consecutiveLocalOriginFailures: 1}",
            "outlier detection consecutive local origin failures is specified, but split external "
            "local origin errors is set to false",
            "outlierDetection.consecutiveLocalOriginFailures",
        ),
        (
            "loadBalancer: {consistentHash: {httpCookie: {name: ''}}}",
            "name required for HttpCookie",
            "loadBalancer.consistentHash.httpCookie.name",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: eu, to: {eu: 70, us: 20}}]}}",
            "total locality weight 90 != 100",
            "loadBalancer.localityLbSetting.distribute[0].to",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: eu, to: {eu: 0, us: 100}}]}}",
            "locality weight must be in range [1, 100]",
            "loadBalancer.localityLbSetting.distribute[0].to",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: eu, to: {eu/a: 50, eu: 50}}]}}",
            "locality eu overlap with previous specified ones",
            "loadBalancer.localityLbSetting.distribute[0].to",
        ),
        (
            'loadBalancer: {localityLbSetting: {distribute: [{from: "*/a", to: {us: 100}}]}}',
            "locality */a wildcard '*' number can not exceed 1 and must be in the end",
            "loadBalancer.localityLbSetting.distribute",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: eu/, to: {us: 100}}]}}",
            "locality eu/ must not contain empty region/zone/subzone info",
            "loadBalancer.localityLbSetting.distribute",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: eu, to: {us: 100}}], failover: [{from: eu, to: us}]}}",
            "can not simultaneously specify 'distribute' and 'failover'",
            "loadBalancer.localityLbSetting",
        ),
        (
            "outlierDetection: {interval: 1s}, loadBalancer: {localityLbSetting: {failover: [{from: eu, to: eu}]}}",
            "locality lb failover settings must specify different regions",
            "loadBalancer.localityLbSetting.failover[0]",
        ),
        (
            "outlierDetection: {interval: 1s}, loadBalancer: {localityLbSetting: {failover: [{from: eu/a, to: us}]}}",
            "locality lb failover only specify region",
            "loadBalancer.localityLbSetting.failover[0]",
        ),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 100}}}",
            "tableSize must be a prime number for maglev",
            "loadBalancer.consistentHash.maglev.tableSize",
        ),
        (
            "loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}",
            "only one of simple, consistentHash may be set",
            "loadBalancer",
        ),
        (
            "tls: {mode: MUTUAL, clientCertificate: a}",
            "private key required for mutual tls",
            "tls",
        ),
    ],
)
def test_policies_of_host_subset_and_port(check: Check, policy: str, text: str, path: str) -> None:
    places = {
        f"host: r\ntrafficPolicy: {{{policy}}}": "spec.trafficPolicy.",
        f"host: r\nsubsets: [{{name: v1, trafficPolicy: {{{policy}}}}}]": "spec.subsets[0].trafficPolicy.",
        f"host: r\ntrafficPolicy: {{portLevelSettings: [{{port: {{number: 80}}, {policy}}}]}}": (
            "spec.trafficPolicy.portLevelSettings[0]."
        ),
    }
    for spec, prefix in places.items():
        (problem,) = check("DestinationRule", spec)
        assert texts([problem]) == [text]
        assert problem.path == prefix + path


def test_consecutive_errors_by_era(check: Check) -> None:
    spec = "host: r\ntrafficPolicy: {outlierDetection: {consecutiveErrors: 1}}"
    assert check("DestinationRule", spec, "istio-1.0") == []
    for release in ("istio-1.9", "istio-1.28"):
        (problem,) = check("DestinationRule", spec, release)
        assert (problem.code, problem.level) == ("IST0133", Level.WARNING)
        assert texts([problem], Level.WARNING) == [
            "outlier detection consecutive errors is deprecated, use consecutiveGatewayErrors or "
            "consecutive5xxErrors instead"
        ]
        assert f"{release} ignores it" in problem.hint


def test_an_idle_timeout_of_nothing_by_era(check: Check) -> None:
    spec = "host: r\ntrafficPolicy: {connectionPool: {tcp: {idleTimeout: 0s}}}"
    assert check("DestinationRule", spec, "istio-1.28") == []
    assert texts(check("DestinationRule", spec, "istio-1.9")) == [
        "duration must be greater than 1ms"
    ]
