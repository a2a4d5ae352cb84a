"""Old resources in today's words: what is written, what is said about it, what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from mesh.istio import era, has_errors, load_text, local_rate_limit, validate
from mesh.istio.eras import Era
from mesh.istio.models.envoy_filter import ConfigPatch
from mesh.istio.resource import Resource
from mesh.kubernetes.convert import Converted, modernize

CURRENT = era("istio-current")
OLD = era("istio-1.0")


def load(text: str, the_era: Era = OLD) -> list[Resource]:
    loaded = load_text(text, "old.yaml", era=the_era, namespace="tutorial")
    assert not has_errors(loaded.problems), [str(each) for each in loaded.problems]
    return loaded.resources


def converted(text: str, the_era: Era = OLD) -> Converted:
    """Convert, and check that today's Istio takes what comes out."""
    done = modernize(load(text, the_era), the_era)
    again = load(yaml.safe_dump_all(done.documents), CURRENT)
    assert not has_errors(validate(again, CURRENT))
    for note in done.notes:
        assert re.match(r"old\.yaml:\d+:\d+: ", note), note
    return done


def by_name(done: Converted) -> dict[str, Any]:
    return {
        f"{each['kind']}/{each['metadata']['name']}": each.get("spec") for each in done.documents
    }


def test_fields_and_defaults_of_traffic_management() -> None:
    done = converted("""\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: a, generation: 3}
spec:
  hosts: [a]
  http:
  - fault: {delay: {percent: 50, fixedDelay: 7s}, abort: {percent: 10, httpStatus: 500}}
    appendHeaders: {x: y}
    route: [{destination: {host: a}, removeResponseHeaders: [z]}]
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: a}
spec:
  host: a
  trafficPolicy:
    outlierDetection: {consecutiveErrors: 3}
    loadBalancer: {simple: LEAST_CONN}
""")
    (route,) = by_name(done)["VirtualService/a"]["http"]
    assert route["fault"]["delay"] == {"fixedDelay": "7s", "percentage": {"value": 50}}
    assert route["fault"]["abort"] == {"httpStatus": 500, "percentage": {"value": 10}}
    assert route["headers"] == {"request": {"add": {"x": "y"}}}
    assert route["route"][0]["headers"] == {"response": {"remove": ["z"]}}
    assert route["retries"] == {"attempts": 0}
    policy = by_name(done)["DestinationRule/a"]["trafficPolicy"]
    assert policy["outlierDetection"] == {"consecutiveGatewayErrors": 3, "consecutive5xxErrors": 0}
    assert policy["loadBalancer"] == {"simple": "LEAST_REQUEST"}
    assert {each["apiVersion"] for each in done.documents} == {"networking.istio.io/v1"}
    assert "generation" not in done.documents[0]["metadata"]
    assert len(done.notes) == 7


def test_what_an_era_ignored_is_left_out() -> None:
    done = converted(
        """\
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: a}
spec: {host: a, trafficPolicy: {outlierDetection: {consecutiveErrors: 3, interval: 1s}}}
""",
        era("istio-1.9"),
    )
    policy = by_name(done)["DestinationRule/a"]["trafficPolicy"]
    assert policy["outlierDetection"] == {"interval": "1s"}
    assert policy["loadBalancer"] == {"simple": "ROUND_ROBIN"}


def test_todays_resources_stay_as_they_are() -> None:
    text = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [a], http: [{route: [{destination: {host: a}}]}]}
"""
    done = converted(text, CURRENT)
    assert by_name(done)["VirtualService/a"] == yaml.safe_load(text)["spec"]
    assert done.notes == []


POLICY = """\
apiVersion: authentication.istio.io/v1alpha1
kind: Policy
metadata: {name: default}
spec: SPEC
"""


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{peers: [{mtls: {}}]}", {"mtls": {"mode": "STRICT"}}),
        ("{peers: [{mtls: null}]}", {"mtls": {"mode": "STRICT"}}),
        ("{peers: [{mtls: {mode: PERMISSIVE}}]}", {"mtls": {"mode": "PERMISSIVE"}}),
        ("{peers: [{mtls: {}}], peerIsOptional: true}", {"mtls": {"mode": "PERMISSIVE"}}),
        ("{}", {"mtls": {"mode": "DISABLE"}}),
    ],
)
def test_policy_is_peer_authentication(spec: str, expected: object) -> None:
    done = converted(POLICY.replace("SPEC", spec))
    assert by_name(done) == {"PeerAuthentication/default": expected}


def test_targets_and_ports_of_a_policy() -> None:
    spec = "{targets: [{name: a}, {name: b, ports: [{number: 80}]}], peers: [{mtls: {}}]}"
    found = by_name(converted(POLICY.replace("SPEC", spec)))
    assert found["PeerAuthentication/default-a"]["selector"] == {"matchLabels": {"app": "a"}}
    assert found["PeerAuthentication/default-b"]["portLevelMtls"] == {80: {"mode": "STRICT"}}


def test_origins_want_a_token_as_before() -> None:
    spec = "{peers: [{mtls: {}}], origins: [{jwt: {issuer: me, jwksUri: 'https://me/k'}}]}"
    found = by_name(converted(POLICY.replace("SPEC", spec)))
    (rule,) = found["RequestAuthentication/default"]["jwtRules"]
    assert (rule["issuer"], rule["forwardOriginalToken"]) == ("me", True)
    policy = found["AuthorizationPolicy/default-token"]
    assert policy["action"] == "DENY"
    assert policy["rules"][0]["from"][0]["source"] == {"notRequestPrincipals": ["*"]}


RBAC = """\
apiVersion: rbac.istio.io/v1alpha1
kind: ClusterRbacConfig
metadata: {name: default}
spec: CONFIG
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRole
metadata: {name: viewer}
spec:
  rules:
  - services: [products.tutorial.svc.cluster.local]
    methods: [GET, HEAD]
    paths: [/products*]
    constraints: [{key: 'request.headers[version]', values: [v1]}]
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: bind}
spec:
  subjects: SUBJECTS
  roleRef: {kind: ServiceRole, name: viewer}
"""


def rbac(subjects: str, config: str = "{mode: 'ON'}") -> Converted:
    return converted(RBAC.replace("SUBJECTS", subjects).replace("CONFIG", config))


def test_a_role_and_its_binding_are_one_policy() -> None:
    found = by_name(
        rbac("[{user: cluster.local/ns/tutorial/sa/web}, {properties: {source.namespace: b}}]")
    )
    assert found["AuthorizationPolicy/rbac-deny-by-default"] == {}
    policy = found["AuthorizationPolicy/bind"]
    assert policy["selector"] == {"matchLabels": {"app": "products"}}
    (rule,) = policy["rules"]
    assert rule["from"] == [
        {"source": {"principals": ["cluster.local/ns/tutorial/sa/web"]}},
        {"source": {"namespaces": ["b"]}},
    ]
    assert rule["to"] == [{"operation": {"methods": ["GET", "HEAD"], "paths": ["/products*"]}}]
    assert rule["when"] == [{"key": "request.headers[version]", "values": ["v1"]}]


def test_everybody() -> None:
    (rule,) = by_name(rbac("[{user: '*'}]"))["AuthorizationPolicy/bind"]["rules"]
    assert "from" not in rule


def test_a_group_is_a_claim() -> None:
    (rule,) = by_name(rbac("[{groups: [admins]}]"))["AuthorizationPolicy/bind"]["rules"]
    assert {"key": "request.auth.claims[groups]", "values": ["admins"]} in rule["when"]


@pytest.mark.parametrize(
    ("config", "namespaces"),
    [
        ("{mode: 'ON'}", {"istio-system": {}}),
        ("{mode: ON_WITH_INCLUSION, inclusion: {namespaces: [tutorial]}}", {"tutorial": {}}),
        (
            "{mode: ON_WITH_EXCLUSION, exclusion: {namespaces: [b]}}",
            {"istio-system": {}, "b": {"rules": [{}]}},
        ),
        ("{mode: 'OFF'}", {}),
    ],
)
def test_where_all_is_denied(config: str, namespaces: dict[str, object]) -> None:
    found = {
        each["metadata"]["namespace"]: each["spec"]
        for each in rbac("[{user: '*'}]", config).documents
        if each["metadata"]["name"].startswith("rbac-")
    }
    assert found == namespaces


def test_a_role_that_is_not_there_is_refused() -> None:
    done = modernize(
        load(
            RBAC.replace("SUBJECTS", "[{user: a}]")
            .replace("CONFIG", "{}")
            .replace("name: viewer}\n---", "name: other}\n---")
            .replace("metadata: {name: viewer}", "metadata: {name: other}")
        ),
        OLD,
    )
    (problem,) = done.problems
    assert problem.position.line > 1
    assert '"viewer" is not there' in problem.message


QUOTA = """\
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: quotahandler}
spec:
  compiledAdapter: memquota
  params: {quotas: [{name: requestcount.instance.tutorial, maxAmount: 5, validDuration: 10sOVERRIDES}]}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpecBinding
metadata: {name: b}
spec: {quotaSpecs: [{name: q}], services: [{name: recommendation}]}
"""


def test_a_quota_is_a_local_rate_limit() -> None:
    done = converted(QUOTA.replace("OVERRIDES", ""))
    spec = by_name(done)["EnvoyFilter/quota-recommendation"]
    value = spec["configPatches"][0]["patch"]["value"]["typed_config"]["value"]
    bucket = {"max_tokens": 5, "tokens_per_fill": 5, "fill_interval": "10s"}
    assert value["token_bucket"] == bucket
    (patch,) = spec["configPatches"]
    (insert,) = local_rate_limit.read(ConfigPatch.model_validate(patch))  # it has effect here too
    assert insert.context == "SIDECAR_INBOUND"
    assert "pod" in done.notes[0]


def test_limits_per_client_are_refused() -> None:
    override = ", overrides: [{dimensions: {source: a}, maxAmount: 1}]"
    done = modernize(load(QUOTA.replace("OVERRIDES", override)), OLD)
    assert [each.code for each in done.problems] == ["KIT0201"]
    assert done.documents == []


def test_a_denier_by_labels_is_a_policy() -> None:
    done = converted("""\
apiVersion: config.istio.io/v1alpha2
kind: denier
metadata: {name: stop}
spec: {status: {code: 7}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: no-web}
spec:
  match: destination.labels["app"] == "shop" && source.labels["app"]=="web"
  actions: [{handler: stop.denier, instances: [n.checknothing]}]
""")
    policy = by_name(done)["AuthorizationPolicy/no-web"]
    assert policy["selector"] == {"matchLabels": {"app": "shop"}}
    assert policy["rules"][0]["from"][0]["source"]["principals"] == [
        "cluster.local/ns/tutorial/sa/web"
    ]
