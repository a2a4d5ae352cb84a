"""From files to resources: kinds, versions, eras, names, lists, fields in the wrong place."""

from pathlib import Path

import pytest

from mesh.istio import Loaded, Problem, era, has_errors, load_paths, load_text
from mesh.istio.kinds import KINDS
from mesh.istio.models.virtual_service import VirtualService

VIRTUAL_SERVICE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r}
spec:
  hosts: [r]
  http: [{route: [{destination: {host: r}}], timeout: 1.500s}]
"""


def load(text: str, name: str = "istio-current") -> Loaded:
    return load_text(text, "f.yaml", era=era(name), namespace="tutorial")


def only(text: str, name: str = "istio-current") -> Problem:
    loaded = load(text, name)
    assert len(loaded.problems) == 1, loaded.problems
    return loaded.problems[0]


def test_a_resource_with_its_model() -> None:
    loaded = load(VIRTUAL_SERVICE)
    assert loaded.problems == []
    (resource,) = loaded.resources
    assert isinstance(resource.spec, VirtualService)
    assert resource.spec.http is not None
    assert resource.spec.http[0].timeout is not None
    assert resource.spec.http[0].timeout.total_seconds() == 1.5
    assert resource.namespace == "tutorial"
    assert resource.spec.to_json()["http"][0]["timeout"] == "1.500s"


def test_json_is_yaml_and_snake_case_is_accepted() -> None:
    text = (
        '{"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", '
        '"metadata": {"name": "r"}, "spec": {"host": "r", "traffic_policy": '
        '{"load_balancer": {"simple": "RANDOM"}}}}'
    )
    loaded = load(text)
    assert loaded.problems == []
    assert loaded.resources[0].spec.model_dump(exclude_unset=True) == {
        "host": "r",
        "traffic_policy": {"load_balancer": {"simple": "RANDOM"}},
    }


def test_every_version_of_every_kind_is_found() -> None:
    seen = {(kind.group, version, kind.name) for kind in KINDS for version in kind.versions}
    for version in ("v1alpha3", "v1beta1", "v1"):
        for name in ("VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "Sidecar"):
            assert ("networking.istio.io", version, name) in seen
            assert ("networking.istio.io", version, "WorkloadGroup") in seen
    for name in ("rule", "handler", "instance", "memquota", "denier", "listchecker", "prometheus"):
        assert ("config.istio.io", "v1alpha2", name) in seen
    assert ("config.istio.io", "v1alpha2", "ServiceRoleBinding") in seen
    assert ("rbac.istio.io", "v1alpha1", "ServiceRoleBinding") in seen
    assert ("gateway.networking.k8s.io", "v1", "HTTPRoute") in seen


def test_wrong_capitals_and_no_version_and_the_rest_all_at_once() -> None:
    loaded = load("kind: virtualService\nmetadata:\n  name: serviceB\nspec:\n  htp: []\n")
    assert loaded.resources == []
    found = {problem.code: problem for problem in loaded.problems if problem.code != "IST0106"}
    assert found["KIT0004"].nearest == "VirtualService"
    assert found["KIT0004"].position.line == 1
    assert found["KIT0005"].nearest == "networking.istio.io/v1"
    name, field = (problem for problem in loaded.problems if problem.code == "IST0106")
    assert (name.path, name.nearest, name.position.line) == ("metadata.name", "service-b", 3)
    assert (field.path, field.nearest, field.position.line) == ("spec.htp", "http", 5)
    assert 'unknown field "spec.htp"' in field.message


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("istio-1.0", "networking.istio.io/v1alpha3"),
        ("istio-1.9", "networking.istio.io/v1beta1"),
        ("istio-1.28", "networking.istio.io/v1"),
    ],
)
def test_the_version_that_fits_the_era(name: str, version: str) -> None:
    problem = only("kind: VirtualService\nmetadata: {name: r}\n", name)
    assert (problem.code, problem.nearest) == ("KIT0005", version)


def test_a_version_that_never_was() -> None:
    problem = only(VIRTUAL_SERVICE.replace("/v1", "/v2"))
    assert (
        problem.message
        == 'no matches for kind "VirtualService" in version "networking.istio.io/v2"'
    )
    assert (problem.position.line, problem.nearest) == (1, "networking.istio.io/v1")


def test_kinds_belong_to_their_eras() -> None:
    old = "apiVersion: authentication.istio.io/v1alpha1\nkind: Policy\nmetadata: {name: default}\n"
    assert load(old, "istio-1.0").problems == []
    assert "until 1.5" in only(old, "istio-1.9").hint
    new = "apiVersion: security.istio.io/v1beta1\nkind: PeerAuthentication\nmetadata: {name: default}\n"
    assert load(new, "istio-1.9").problems == []
    problem = only(new, "istio-1.0")
    assert problem.code == "KIT0006"
    assert "since 1.5" in problem.hint
    assert load(new, "istio-1.0").resources == []


def test_fields_belong_to_their_eras() -> None:
    text = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: r}
spec:
  hosts: [r]
  http:
  - route: [{destination: {host: r}}]
    websocketUpgrade: true
"""
    assert load(text, "istio-1.0").problems == []
    problem = only(text, "istio-1.9")
    assert 'unknown field "spec.http[0].websocketUpgrade"' in problem.message
    assert problem.position.line == 8


def test_what_kubectl_prints_is_read() -> None:
    text = """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata:
    name: customer
    creationTimestamp: "2026-01-01T00:00:00Z"
    managedFields: [{manager: kubectl}]
    uid: 1-2
  spec:
    clusterIP: 10.0.0.1
    ports: [{name: http, port: 8080, targetPort: http, protocol: TCP}]
    selector: {app: customer}
  status: {loadBalancer: {}}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: customer}
  spec:
    replicas: 2
    selector: {matchLabels: {app: customer}}
    template:
      metadata: {creationTimestamp: null, labels: {app: customer}}
      spec:
        containers:
        - name: customer
          image: x
          livenessProbe: {httpGet: {path: /, port: 8080}}
          ports: [{containerPort: 8080}]
        terminationGracePeriodSeconds: 30
  status: {replicas: 2}
- apiVersion: v1
  kind: ServiceAccount
  metadata: {name: customer}
  secrets: [{name: x}]
- apiVersion: v1
  kind: Namespace
  metadata: {name: tutorial}
"""
    loaded = load(text)
    assert loaded.problems == []
    assert [each.kind for each in loaded.resources] == [
        "Service",
        "Deployment",
        "ServiceAccount",
        "Namespace",
    ]
    assert loaded.resources[1].position("spec.replicas").line == 20


def test_a_list_without_items() -> None:
    assert "items: Required value" in only("apiVersion: v1\nkind: List\n").message


def test_null_is_not_set_but_mtls_is() -> None:
    text = VIRTUAL_SERVICE.replace("timeout: 1.500s", "timeout: null")
    assert load(text).resources[0].spec.to_json()["http"][0].get("timeout") is None
    policy = """\
apiVersion: authentication.istio.io/v1alpha1
kind: Policy
metadata: {name: default}
spec: {peers: [{mtls: null}]}
"""
    assert load(policy, "istio-1.0").resources[0].spec.to_json() == {"peers": [{"mtls": {}}]}


@pytest.mark.parametrize(
    ("text", "code", "line", "said"),
    [
        ("- a\n- b\n", "KIT0004", 1, "is no object"),
        ("hello\n", "KIT0004", 1, "is no object"),
        ("apiVersion: v1\nmetadata: {}\n", "KIT0004", 1, "kind: Required value"),
        ("apiVersion: x/v1\nkind: Nothing\n", "KIT0004", 2, 'no matches for kind "Nothing"'),
        ("kind: Namespace\napiVersion: v1\n", "IST0106", 1, "metadata.name: Required value"),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: [1]\n",
            "IST0106",
            3,
            "must be of type object",
        ),
        (VIRTUAL_SERVICE + "hosts: [r]\n", "IST0106", 7, 'unknown field "hosts"'),
    ],
)
def test_what_is_no_resource(text: str, code: str, line: int, said: str) -> None:
    problem = load(text).problems[0]
    assert (problem.code, problem.position.line) == (code, line)
    assert said in problem.message
    assert problem.hint or code == "KIT0004"


def test_a_field_at_the_top_belongs_below_spec() -> None:
    assert "belongs below `spec:`" in only(VIRTUAL_SERVICE + "hosts: [r]\n").hint
    assert only(VIRTUAL_SERVICE + "metdata: {}\n").nearest == "metadata"


def test_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.yaml").write_text(VIRTUAL_SERVICE)
    (tmp_path / "sub" / "a.yml").write_text(VIRTUAL_SERVICE.replace("name: r", "name: s"))
    (tmp_path / "c.yaml").write_bytes(b"a: \xff\n")
    (tmp_path / "notes.txt").write_text("no YAML: [")
    (tmp_path / "answers.yaml").write_text("share: 10\n")
    (tmp_path / "d.yaml").write_text(
        "kind: [\n---\n" + VIRTUAL_SERVICE.replace("name: r", "name: t")
    )
    loaded = load_paths([tmp_path], era=era("istio-1.28"))
    assert [each.name for each in loaded.resources] == ["r", "t", "s"]
    assert [Path(problem.position.file).name for problem in loaded.problems] == ["c.yaml", "d.yaml"]
    assert loaded.resources[0].source.file == str(tmp_path / "b.yaml")


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    loaded = load_paths([tmp_path / "none.yaml", tmp_path / "empty"], era=era("istio-1.28"))
    missing, empty = loaded.problems
    assert "No such file" in missing.message
    assert missing.position.file == str(tmp_path / "none.yaml")
    assert "no *.yaml file" in empty.message
    assert has_errors([missing])
    assert not has_errors([empty])
