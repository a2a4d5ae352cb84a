"""meshctl describe and explain --dry-run, against files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mesh.cli import app

CONFIG = """\
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: recommendation}
spec:
  host: recommendation
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}
    - {name: v9, labels: {version: v9}}
---
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: recommendation}
spec:
  hosts: [recommendation]
  http:
    - match:
        - headers:
            user-preference: {prefix: "12"}
      route:
        - destination: {host: recommendation, subset: v2}
      timeout: 1s
    - match:
        - uri: {prefix: /gone}
      route:
        - destination: {host: recommendation, subset: v7}
    - match:
        - uri: {prefix: /empty}
      route:
        - destination: {host: recommendation, subset: v9}
    - match:
        - uri: {prefix: /}
      mirror: {host: recommendation, subset: v2}
      route:
        - destination: {host: recommendation, subset: v1}
---
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata: {name: only-preference}
spec:
  selector: {matchLabels: {app: recommendation}}
  rules: [{from: [{source: {principals: [cluster.local/ns/tutorial/sa/preference]}}]}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def meshctl(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_describe_service(file: Path) -> None:
    result = meshctl("describe", "service", "recommendation", "--lab", 1, "-f", file)
    assert result.exit_code == 0, result.output
    for text in (
        "Service: recommendation.tutorial.svc.cluster.local",
        "Subset v1 (version=v1): 1 pod\n",
        "Subset v9 (version=v9): 0 pods   WARNING: selects no pod",
        "Match: headers[user-preference] 12*",
        'Route to host "recommendation" subset v2 with weight 100%',
        "Timeout: 1s",
        "Workload mTLS mode: STRICT",
        "AuthorizationPolicy tutorial/only-preference, action ALLOW",
        "config.yaml:11:1",
    ):
        assert text in result.output


def test_describe_leaves_out_a_gateway_that_leads_elsewhere(file: Path) -> None:
    file.write_text(
        CONFIG
        + """\
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front}
spec:
  hosts: ["*"]
  gateways: [gate]
  http: [{route: [{destination: {host: customer}}]}]
"""
    )
    asked = ["describe", "service", "--lab", 1, "-f", file]
    assert "front at gate" not in meshctl(*asked, "recommendation").output
    assert "front at gate" in meshctl(*asked, "customer").output


def test_describe_pod(file: Path) -> None:
    result = meshctl("describe", "pod", "recommendation-v2", "--lab", 1, "-f", file)
    assert "Matching subsets: v2" in result.output
    assert "(Non-matching subsets v1, v9)" in result.output
    assert "subset v1 with" not in result.output
    other = meshctl("describe", "pod", "customer", "--lab", 1, "-f", file)
    assert "No DestinationRule" in other.output
    assert "only-preference" not in other.output


@pytest.mark.parametrize("words", [("pod", "nobody"), ("svc", "nobody")])
def test_describe_says_what_there_is(file: Path, words: tuple[str, str]) -> None:
    result = meshctl("describe", *words, "--lab", 1, "-f", file)
    assert result.exit_code == 1
    assert "customer" in result.output


def explain(file: Path, url: str, *words: str) -> dict[str, object]:
    result = meshctl("explain", "--dry-run", "--lab", 1, "-f", file, "-o", "json", url, *words)
    assert result.exit_code == 0, result.output
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


def text_of(answer: dict[str, object]) -> str:
    return json.dumps(answer["outcome"])


def test_explain_follows_the_order_of_the_rules(file: Path) -> None:
    url = "http://recommendation:8080/"
    plain = explain(file, url, "--from", "preference")
    tried = plain["tried"]
    assert isinstance(tried, list)
    assert [each["matches"] for each in tried] == [False, False, False, True]
    assert (
        "outbound|8080|v1|recommendation.tutorial.svc.cluster.local: recommendation-v1"
        in text_of(plain)
    )
    assert "mirror: a copy to outbound|8080|v2" in text_of(plain)
    chosen = explain(file, url, "--from", "preference", "-H", "user-preference: 123")
    assert "recommendation-v2" in text_of(chosen)
    assert "timeout: 1 s" in text_of(chosen)


def test_explain_tells_the_three_failures_apart(file: Path) -> None:
    base = "http://recommendation:8080"
    assert "503, flag NC" in text_of(explain(file, f"{base}/gone", "--from", "preference"))
    assert "503, flag UH" in text_of(explain(file, f"{base}/empty", "--from", "preference"))
    file.write_text(CONFIG.replace("prefix: /}", "prefix: /only}"))
    assert "404, flag NR" in text_of(explain(file, f"{base}/x", "--from", "preference"))


def test_explain_at_the_gateway(file: Path) -> None:
    answer = explain(file, "/customer/x")
    assert answer["proxy"] == "istio-ingressgateway.tutorial"
    assert "rewrite: prefix -> /" in text_of(answer)
    text = meshctl("explain", "--dry-run", "--lab", 1, "/")
    assert "✓ route" in text.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("/", "-f", "a.yaml"), "--dry-run"),
        (("--dry-run", "http://recommendation:8080/"), "--from"),
        (("--dry-run", "--from", "customer", "http://"), "is no URL"),
    ],
)
def test_explain_refuses_with_a_sentence(words: tuple[str, ...], says: str) -> None:
    result = meshctl("explain", *words)
    assert result.exit_code == 1
    assert says in result.output


HTTP_ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: recommendation}]
  rules:
    - matches: [{path: {value: /foo}}]
      filters: [{type: URLRewrite, urlRewrite: {hostname: a.example}}]
      backendRefs: [{name: customer, port: 8080}]
    - backendRefs: [{name: nobody, port: 8080}, {name: recommendation, port: 8080, weight: 3}]
"""


def test_an_http_route_is_described_and_explained(tmp_path: Path) -> None:
    path = tmp_path / "route.yaml"
    path.write_text(HTTP_ROUTE)
    said = meshctl("describe", "service", "recommendation", "--lab", 1, "-f", path).output
    assert "HTTPRoute: shop at mesh" in said
    assert "route.yaml:1:1" in said
    assert 'Route to host "nobody.tutorial.svc.cluster.local" with weight 25%' in said
    answer = explain(path, "http://recommendation:8080/foobar", "--from", "preference")
    assert [each["matches"] for each in answer["tried"]] == [False, True]  # type: ignore[attr-defined]
    assert "500, flag NC (no such service)" in text_of(answer)
    answer = explain(path, "http://recommendation:8080/foo/x", "--from", "preference")
    assert "rewrite: host -> a.example" in text_of(answer)
