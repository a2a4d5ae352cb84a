"""Each analyzer on the smallest configuration that it must find fault with, and one it must not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mesh.istio import era, has_errors, load_text
from mesh.istio.analyze import ANALYZERS, analyze
from mesh.istio.problem import Problem
from mesh.topology import Port, Service, Topology, Workload
from services import propagation

MESH = Topology(
    (
        Service("customer", workloads=(Workload("customer-v1", "customer"),)),
        Service("preference", workloads=(Workload("preference-v1", "preference"),)),
        Service(
            "recommendation",
            workloads=(
                Workload("recommendation-v1", "recommendation"),
                Workload("recommendation-v2", "recommendation", version="v2"),
            ),
        ),
        Service("shop", ports=(Port(8080, "http"), Port(9090, "http-admin"))),
    )
)
SUBSETS = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: recommendation}
spec:
  host: recommendation
  subsets:
    - {name: version-v1, labels: {version: v1}}
    - {name: version-v2, labels: {version: v2}}
"""


def vs(http: str, name: str = "recommendation", more: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in http.strip("\n").split("\n"))
    head = f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\n"
    return f"{head}spec:\n  hosts: [{name}]\n{more}  http:\n{lines}"


def dr(rest: str, host: str = "recommendation") -> str:
    lines = "".join(f"  {line}\n" for line in rest.strip("\n").split("\n"))
    head = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
    return f"{head}spec:\n  host: {host}\n{lines}"


def authz(rest: str, kind: str = "AuthorizationPolicy") -> str:
    lines = "".join(f"  {line}\n" for line in rest.strip("\n").split("\n"))
    head = f"apiVersion: security.istio.io/v1beta1\nkind: {kind}\nmetadata: {{name: p}}\n"
    return f"{head}spec:\n{lines}"


def find(text: str, code: str, era_name: str = "istio-current") -> list[Problem]:
    the_era = era(era_name)
    loaded = load_text(text, "f.yaml", era=the_era, namespace="tutorial")
    assert not has_errors(loaded.problems), [str(each) for each in loaded.problems]
    return [each for each in analyze(loaded.resources, the_era, MESH) if each.code == code]


PROVIDERS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - name: sample
      envoyExtAuthzHttp: {service: shop.tutorial.svc.cluster.local, port: 8080}
"""


@dataclass(frozen=True)
class Case:
    """What must be found at a line, and the same put right."""

    code: str
    bad: str
    line: int
    word: str
    good: str
    era: str = "istio-current"


def api(spec: str, kind: str = "HTTPRoute", name: str = "r") -> str:
    lines = "".join(f"  {line}\n" for line in spec.strip("\n").split("\n"))
    head = (
        f"---\napiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n"
    )
    return f"{head}spec:\n{lines}"


ROUTE = "- route: [{destination: {host: recommendation}}]"
CANARY = vs(
    "- route:\n  - destination: {host: recommendation, subset: version-v1}\n    weight: 90\n"
    "  - destination: {host: recommendation, subset: version-v2}\n    weight: 10"
)
SHOP = api(
    "gatewayClassName: istio\nlisteners:\n- {name: http, port: 80, protocol: HTTP, hostname: '*.shop'}",
    "Gateway",
    "shop",
)
AT_SHOP = "parentRefs:\n- name: shop\n"
AT_SERVICE = "parentRefs:\n- {group: '', kind: Service, name: recommendation}\n"
STRICT = "---\n" + authz("mtls: {mode: STRICT}", "PeerAuthentication")
OUT = "trafficPolicy:\n  outlierDetection:\n    consecutive5xxErrors: 1\n"

CASES = {
    "missing subset": Case(
        "IST0101",
        vs("- route:\n  - destination:\n      host: recommendation\n      subset: version-v3")
        + SUBSETS,
        10,
        "recommendation+version-v3",
        CANARY + SUBSETS,
    ),
    "subset without any rule": Case(
        "IST0101",
        vs("- route:\n  - destination: {host: recommendation, subset: v1}"),
        8,
        "recommendation+v1",
        vs(ROUTE),
    ),
    "missing host": Case(
        "IST0101",
        vs("- route: [{destination: {host: recomendation}}]"),
        7,
        '"recomendation"',
        vs("- route: [{destination: {host: recommendation.tutorial.svc.cluster.local}}]"),
    ),
    "missing mirror subset": Case(
        "IST0101",
        vs(ROUTE + "\n  mirror: {host: recommendation, subset: nope}") + SUBSETS,
        8,
        "mirror+subset",
        vs(ROUTE + "\n  mirror: {host: recommendation, subset: version-v2}") + SUBSETS,
    ),
    "missing gateway": Case(
        "IST0101",
        vs(ROUTE, more="  gateways: [gait]\n")
        + "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gate}\n"
        "spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n",
        6,
        "gateway",
        vs(ROUTE, more="  gateways: [gate, mesh]\n")
        + "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gate}\n"
        "spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n",
    ),
    "two for one host": Case(
        "IST0109",
        vs(ROUTE) + "---\n" + vs(ROUTE, "recommendation").replace("{name: rec", "{name: other-rec"),
        5,
        "tutorial/other-recommendation",
        vs(ROUTE) + "---\n" + vs(ROUTE, "preference"),
    ),
    "a rule after the catch-all": Case(
        "IST0130",
        vs(ROUTE + "\n" + ROUTE),
        8,
        "only the last rule can have no matches",
        vs(
            "- match: [{uri: {prefix: /x}}]\n  route: [{destination: {host: preference}}]\n" + ROUTE
        ),
    ),
    "a match after the catch-all": Case(
        "IST0130",
        vs(
            ROUTE + "\n- match: [{uri: {prefix: /x}}]\n  route: [{destination: {host: preference}}]"
        ),
        8,
        "route without matches defined before",
        vs(ROUTE),
    ),
    "the same match twice": Case(
        "IST0131",
        vs(
            "- match: [{uri: {prefix: /x}}]\n  route: [{destination: {host: preference}}]\n"
            "- match:\n  - uri: {prefix: /x}\n  - uri: {prefix: /y}\n"
            "  route: [{destination: {host: preference}}]"
        ),
        10,
        "duplicate/overlapping match in rule #0",
        vs(ROUTE),
    ),
    "several ports": Case(
        "IST0112",
        vs("- route: [{destination: {host: shop}}]"),
        7,
        "[8080 9090]",
        vs("- route: [{destination: {host: shop, port: {number: 9090}}}]"),
    ),
    "host not at the gateway": Case(
        "IST0132",
        vs(ROUTE, more="  gateways: [gate]\n")
        + "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gate}\n"
        "spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}]}\n",
        6,
        "recommendation",
        vs(ROUTE, more="  gateways: [gate]\n")
        + "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gate}\n"
        "spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n",
    ),
    "a subset without pods": Case(
        "IST0173",
        dr("subsets:\n- name: v9\n  labels: {version: v9}"),
        8,
        "does not select any pods",
        dr("subsets:\n- name: v2\n  labels: {version: v2}"),
    ),
    "a rule for nobody": Case(
        "IST0174", dr("subsets: []", "nobody"), 5, "The host nobody", dr("subsets: []", "'*.local'")
    ),
    "per try without a reset": Case(
        "KIT0101",
        vs(ROUTE + "\n  retries:\n    attempts: 3\n    perTryTimeout: 2s"),
        10,
        "not repeated",
        vs(
            ROUTE
            + "\n  retries:\n    attempts: 3\n    perTryTimeout: 2s\n    retryOn: gateway-error"
        ),
    ),
    "per try in 1.0 repeats 5xx": Case(
        "KIT0101",
        vs(
            ROUTE
            + "\n  retries:\n    attempts: 3\n    perTryTimeout: 2s\n    retryOn: connect-failure"
        ).replace("/v1\n", "/v1alpha3\n"),
        10,
        "connect-failure",
        vs(ROUTE + "\n  retries:\n    attempts: 3\n    perTryTimeout: 2s").replace(
            "/v1\n", "/v1alpha3\n"
        ),
        "istio-1.0",
    ),
    "per try not shorter": Case(
        "KIT0102",
        vs(ROUTE + "\n  timeout: 2s\n  retries: {attempts: 3, perTryTimeout: 2s, retryOn: 5xx}"),
        9,
        "2s",
        vs(ROUTE + "\n  timeout: 10s\n  retries: {attempts: 3, perTryTimeout: 2s, retryOn: 5xx}"),
    ),
    "fault and timeout": Case(
        "KIT0103",
        vs(
            "- fault: {delay: {fixedDelay: 7s, percentage: {value: 100}}}\n  timeout: 1s\n"
            "  route: [{destination: {host: recommendation}}]"
        ),
        8,
        "timeout does not see the fault",
        vs(ROUTE + "\n  timeout: 1s"),
    ),
    "fault without percentage": Case(
        "KIT0104",
        vs(ROUTE + "\n  fault: {abort: {httpStatus: 503}}"),
        8,
        "never happens",
        vs(ROUTE + "\n  fault: {abort: {httpStatus: 503, percentage: {value: 10}}}"),
    ),
    "ejection of two pods": Case(
        "KIT0105",
        dr(OUT + "    maxEjectionPercent: 30"),
        9,
        "2 pods",
        dr(OUT + "    maxEjectionPercent: 50"),
    ),
    "ejection by default": Case(
        "KIT0105", dr(OUT), 7, "(the default)", dr(OUT + "    maxEjectionPercent: 100")
    ),
    "consecutiveErrors": Case(
        "KIT0106",
        dr("trafficPolicy:\n  outlierDetection:\n    consecutiveErrors: 1"),
        8,
        "ignores",
        dr(OUT),
    ),
    "TLS to anybody": Case(
        "IST0128",
        dr("trafficPolicy:\n  tls: {mode: SIMPLE}"),
        7,
        "TLS mode set to SIMPLE",
        dr("trafficPolicy:\n  tls: {mode: ISTIO_MUTUAL}"),
    ),
    "TLS to anybody at a port": Case(
        "IST0129",
        dr(
            "trafficPolicy:\n  portLevelSettings:\n  - port: {number: 443}\n    tls: {mode: SIMPLE}"
        ),
        9,
        "port number:443",
        dr(
            "trafficPolicy:\n  portLevelSettings:\n  - port: {number: 443}\n"
            "    tls: {mode: SIMPLE, caCertificates: /ca.pem}"
        ),
    ),
    "double slash": Case(
        "KIT0107",
        vs(
            "- match:\n  - uri:\n      prefix: /customer\n  rewrite: {uri: /}\n"
            "  route: [{destination: {host: customer}}]",
            "customer",
        ),
        9,
        "//x",
        vs(
            "- match:\n  - uri: {prefix: /customer/}\n  - uri: {prefix: /customer}\n"
            "  rewrite: {uri: /}\n  route: [{destination: {host: customer}}]",
            "customer",
        ),
    ),
    "regex of a part": Case(
        "KIT0108",
        vs(
            "- match:\n  - headers:\n      baggage-user-agent:\n        regex: Safari|Firefox\n"
            "  route: [{destination: {host: recommendation}}]"
        ),
        10,
        "whole value",
        vs(
            "- match:\n  - headers:\n      baggage-user-agent:\n        regex: .*Safari.*\n"
            "      user-preference: {regex: '12'}\n"
            "  route: [{destination: {host: recommendation}}]"
        ),
    ),
    "a header that gets lost": Case(
        "KIT0109",
        vs(
            "- match:\n  - headers:\n      baggage-user-preference: {prefix: '12'}\n"
            "  route: [{destination: {host: recommendation}}]"
        ),
        9,
        "baggage-user-preference",
        vs(
            "- match:\n  - headers:\n      user-preference: {prefix: '12'}\n"
            "  route: [{destination: {host: recommendation}}]"
        ),
    ),
    "a policy that no route selects": Case(
        "KIT0110",
        dr(
            "subsets:\n- name: v2\n  labels: {version: v2}\n  trafficPolicy:\n"
            "    connectionPool: {tcp: {maxConnections: 1}}"
        ),
        9,
        "v2",
        dr(
            "subsets:\n- name: v2\n  labels: {version: v2}\n  trafficPolicy:\n"
            "    connectionPool: {tcp: {maxConnections: 1}}"
        )
        + "---\n"
        + vs("- route: [{destination: {host: recommendation, subset: v2}}]"),
    ),
    "PERMISSIVE": Case(
        "KIT0111",
        authz("mtls:\n  mode: PERMISSIVE", "PeerAuthentication"),
        6,
        "plain text",
        authz("mtls:\n  mode: STRICT", "PeerAuthentication")
        + "---\n"
        + authz(
            "selector: {matchLabels: {app: customer}}\nmtls: {mode: PERMISSIVE}",
            "PeerAuthentication",
        ),
    ),
    "principals without mTLS": Case(
        "KIT0112",
        authz(
            "rules:\n- from:\n  - source:\n      principals: [cluster.local/ns/tutorial/sa/customer]"
        )
        + "---\n"
        + authz("mtls: {mode: DISABLE}", "PeerAuthentication"),
        8,
        "never holds",
        authz(
            "rules:\n- from:\n  - source:\n      principals: [cluster.local/ns/tutorial/sa/customer]"
        ),
    ),
    "DENY by principal in PERMISSIVE": Case(
        "KIT0112",
        authz("action: DENY\nrules:\n- from:\n  - source:\n      principals: ['*/sa/evil']"),
        9,
        "does not stop it",
        authz("action: DENY\nrules:\n- from:\n  - source:\n      principals: ['*/sa/evil']")
        + STRICT,
    ),
    "DENY of an exact path": Case(
        "KIT0113",
        authz("action: DENY\nrules:\n- to:\n  - operation:\n      paths: [/admin]"),
        9,
        "/ADMIN",
        authz("action: DENY\nrules:\n- to:\n  - operation:\n      paths: ['/admin*']")
        + "---\n"
        + authz("action: ALLOW\nrules:\n- to:\n  - operation:\n      paths: [/]"),
    ),
    "a selector without pods": Case(
        "IST0127",
        authz("selector:\n  matchLabels: {app: costumer}\nrules: [{}]"),
        6,
        "app=costumer",
        authz("selector:\n  matchLabels: {app: customer}\nrules: [{}]"),
    ),
    "two Sidecars": Case(
        "IST0111",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\nspec:\n"
        "  egress: [{hosts: ['./*']}]\n---\n"
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: b}\nspec:\n"
        "  egress: [{hosts: ['./*']}]\n",
        4,
        "tutorial/a,tutorial/b",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\nspec:\n"
        "  egress: [{hosts: ['./*']}]\n",
    ),
    "two Sidecars for the same pods": Case(
        "IST0110",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\nspec:\n"
        "  workloadSelector: {labels: {app: customer}}\n---\n"
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: b}\nspec:\n"
        "  workloadSelector: {labels: {app: customer}}\n",
        5,
        "app=customer",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\nspec:\n"
        "  workloadSelector: {labels: {app: customer}}\n---\n"
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: b}\nspec:\n"
        "  workloadSelector: {labels: {app: preference}}\n",
    ),
    "a port without a protocol": Case(
        "IST0118",
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  ports:\n  - name: web\n    port: 80\n",
        6,
        "Port name web",
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  ports:\n  - name: http-web\n    port: 80\n",
    ),
    "an outside host over TCP": Case(
        "IST0134",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e}\nspec:\n"
        "  hosts: [a.example]\n  ports:\n  - {number: 3306, name: db, protocol: TCP}\n",
        7,
        "addresses",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e}\nspec:\n"
        "  hosts: [a.example]\n  ports:\n  - {number: 80, name: http, protocol: HTTP}\n",
    ),
    "an HTTPRoute to nobody": Case(
        "IST0101",
        api(AT_SERVICE + "rules:\n- backendRefs:\n  - {name: recomendation, port: 8080}"),
        10,
        '"recomendation"',
        api(AT_SERVICE + "rules:\n- backendRefs:\n  - {name: recommendation, port: 8080}"),
    ),
    "an HTTPRoute to a port that nobody has": Case(
        "IST0101",
        api(AT_SERVICE + "rules:\n- backendRefs:\n  - {name: shop, port: 80}"),
        10,
        'host:port not found: "shop:80"',
        api(AT_SERVICE + "rules:\n- backendRefs:\n  - {name: shop, port: 9090}"),
    ),
    "an HTTPRoute of a Gateway that is not there": Case(
        "IST0101",
        SHOP + api("parentRefs:\n- name: shap"),
        15,
        'gateway not found: "tutorial/shap"',
        SHOP + api(AT_SHOP + "hostnames: [de.shop]"),
    ),
    "no listener of that name": Case(
        "KIT0114",
        SHOP + api(AT_SHOP + "  sectionName: https"),
        16,
        'sectionName "https" not found',
        SHOP + api(AT_SHOP + "  sectionName: http"),
    ),
    "no host in common": Case(
        "KIT0114",
        SHOP + api(AT_SHOP + "hostnames: [other.example]"),
        15,
        'no hostnames matched parent hostname "*.shop"',
        SHOP + api(AT_SHOP),
    ),
    "a namespace that is not let in": Case(
        "KIT0114",
        (SHOP + api(AT_SHOP)).replace("{name: shop}", "{name: shop, namespace: front}", 1)
        + "    namespace: front\n",
        15,
        'namespace "tutorial" is not allowed by the parent',
        SHOP + api(AT_SHOP),
    ),
    "a backend of another namespace": Case(
        "KIT0115",
        SHOP + api(AT_SHOP + "rules:\n- backendRefs:\n  - {name: b, namespace: other, port: 80}"),
        18,
        "missing a ReferenceGrant?",
        SHOP + api(AT_SHOP + "rules:\n- backendRefs:\n  - {name: recommendation, port: 8080}"),
    ),
    "a backend that is no Service": Case(
        "KIT0115",
        api(AT_SERVICE + "rules:\n- backendRefs:\n  - {group: a.example, kind: Bucket, name: b}"),
        10,
        'kind "Bucket"',
        api(AT_SERVICE + "rules:\n- backendRefs:\n  - {kind: Service, name: shop, port: 8080}"),
    ),
    "an HTTPRoute and a VirtualService": Case(
        "KIT0116",
        vs(ROUTE) + api(AT_SERVICE),
        14,
        "only one of them is in force",
        vs(ROUTE, "customer") + api(AT_SERVICE),
    ),
    "CUSTOM of a provider that nobody knows": Case(
        "KIT0117",
        authz("action: CUSTOM\nprovider: {name: sampel}\nrules: [{}]") + "---\n" + PROVIDERS,
        6,
        'available providers are [sample] but found "sampel"',
        authz("action: CUSTOM\nprovider: {name: sample}\nrules: [{}]") + "---\n" + PROVIDERS,
    ),
    "CUSTOM of a provider that does not run": Case(
        "KIT0117",
        authz("action: CUSTOM\nprovider: {name: sample}\nrules: [{}]")
        + "---\n"
        + PROVIDERS.replace("shop.", "opa."),
        6,
        "could not find service opa.tutorial",
        authz("action: ALLOW\nrules: [{}]") + "---\n" + PROVIDERS,
    ),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_found_with_its_line_and_a_hint(case: Case) -> None:
    found = find(case.bad, case.code, case.era)
    assert found, "nothing found"
    first = found[0]
    assert first.position.line == case.line, str(first)
    assert case.word in first.message
    assert first.hint
    assert first.resource
    assert first.path


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_the_right_configuration_is_left_alone(case: Case) -> None:
    assert find(case.good, case.code, case.era) == []


@pytest.mark.parametrize(
    ("tls", "more", "old", "current"),
    [
        ("{mode: SIMPLE}", "", 1, 1),
        ("{mode: MUTUAL, clientCertificate: /c, privateKey: /k}", "", 1, 1),
        ("{mode: SIMPLE, caCertificates: /ca.pem}", "", 0, 0),
        ("{mode: SIMPLE, credentialName: ca}", "", 1, 1),
        ("{mode: SIMPLE, credentialName: ca}", "workloadSelector: {matchLabels: {app: a}}\n", 1, 0),
        ("{mode: SIMPLE, insecureSkipVerify: true}", "", 1, 1),
        ("{mode: DISABLE}", "", 0, 0),
    ],
)
def test_servers_without_authorities_as_in_istio(
    tls: str, more: str, old: int, current: int
) -> None:
    text = dr(f"{more}trafficPolicy:\n  tls: {tls}")
    found = find(text, "IST0128", "istio-1.9"), find(text, "IST0128")
    assert tuple(map(len, found)) == (old, current)
    subset = dr(f"subsets:\n- name: v1\n  trafficPolicy: {{tls: {tls}}}")
    assert find(subset, "IST0128") == []
    if current:
        assert str(found[1][0].message).startswith(
            "DestinationRule tutorial/r in namespace tutorial has TLS mode set to "
        )
        assert found[1][0].message.endswith("validate server identity for host: recommendation")


def test_a_good_canary_is_clean() -> None:
    loaded = load_text(CANARY + SUBSETS, era=era("istio-current"), namespace="tutorial")
    assert analyze(loaded.resources, era("istio-current"), MESH) == []


def test_nothing_is_said_about_services_nobody_told_of() -> None:
    loaded = load_text(vs("- route: [{destination: {host: elsewhere}}]"), era=era("istio-current"))
    assert analyze(loaded.resources, era("istio-current")) == []


def test_kubernetes_objects_count_as_topology() -> None:
    text = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
        "spec: {selector: {app: a}, ports: [{name: http, port: 80}]}\n---\n"
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a-v1}\n"
        "spec: {template: {metadata: {labels: {app: a, version: v1}}, spec: {containers: [{name: a}]}}}\n"
        "---\n" + dr("subsets:\n- name: v2\n  labels: {version: v2}", "a")
    )
    loaded = load_text(text, era=era("istio-current"))
    assert [each.code for each in analyze(loaded.resources, era("istio-current"))] == ["IST0173"]


def test_an_old_era_honours_consecutive_errors() -> None:
    text = dr("trafficPolicy:\n  outlierDetection:\n    consecutiveErrors: 1").replace(
        "/v1\n", "/v1alpha3\n"
    )
    assert find(text, "KIT0106", "istio-1.0") == []
    assert find(text, "KIT0106", "istio-1.9")


def test_every_analyzer_has_a_case() -> None:
    codes = {case.code for case in CASES.values()}
    assert {f"KIT01{n:02}" for n in range(1, 17)} <= codes
    assert len(ANALYZERS) <= len(CASES)


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ("[/admin]", "/admin/, /ADMIN or //admin pass"),
        ("[/admin, /admin/*]", "/ADMIN or //admin pass"),
        ("[/admin, /admin/*, /ADMIN]", "//admin passes"),
    ],
)
def test_only_spellings_that_no_path_of_the_rule_takes_are_said_to_pass(
    paths: str, said: str
) -> None:
    text = authz(f"action: DENY\nrules:\n- to:\n  - operation:\n      paths: {paths}")
    first = find(text, "KIT0113")[0]
    assert first.message.endswith(f"letter by letter: {said}")
    assert ("/admin/*" in first.hint) == ("/admin/," in said)


def test_the_list_of_forwarded_headers_is_the_applications() -> None:
    from mesh.istio.analyze.matches import FORWARDED

    assert {*propagation.TRACING, *propagation.USER} <= FORWARDED


def test_many_resources_are_all_analysed() -> None:
    parts = []
    for number in range(250):
        name = f"s{number}"
        parts += [
            vs(f"- route: [{{destination: {{host: {name}, subset: v1}}}}]", name),
            dr("subsets:\n- {name: v1, labels: {version: v1}}", name).replace(
                "name: r", f"name: {name}"
            ),
            authz("rules: [{}]").replace("name: p", f"name: {name}"),
            vs(f"- route: [{{destination: {{host: {name}, subset: v2}}}}]", f"x{number}"),
        ]
    loaded = load_text("---\n".join(parts), era=era("istio-current"))
    assert len(loaded.resources) == 1000
    found = analyze(loaded.resources, era("istio-current"))
    assert [each.code for each in found] == ["IST0101"] * 250


def test_the_figure_of_the_bench_is_taken_of_a_clean_configuration() -> None:
    from mesh.bench.analysis import measure

    assert set(measure(8)) == {"load", "validate", "analyze"}
