"""Export: what a cluster's API server would take, and what comes back is the lab."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from mesh.cli import app
from mesh.commands.dry_run import snapshots
from mesh.istio import era, has_errors, load_paths, load_text, validate
from mesh.istio.analyze import analyze
from mesh.istio.eras import Era
from mesh.istio.problem import Problem
from mesh.kubernetes import VERSION
from mesh.kubernetes.importing import import_objects
from mesh.testbed.load_topology import load_topology
from mesh.topology import Topology

ROOT = Path(__file__).parents[3]
MIXERS = 11
"""The lab whose solution no cluster of today can be told: it is Mixer's."""

LABS = sorted(
    number
    for each in (ROOT / "labs").glob("*/solution")
    if (number := int(each.parent.name[:2])) != MIXERS
)
CRDS = Path(
    os.environ.get(
        "ISTIO_CRDS", ROOT.parent / "shared" / "reference" / "istio-crds" / "crd-all.yaml"
    )
)
MESH_KINDS = ("istio.io", "gateway.networking.k8s.io")


def meshctl(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def documents(folder: Path, name: str) -> list[dict[str, Any]]:
    text = (folder / "base" / name).read_text(encoding="utf-8")
    return [each for each in yaml.safe_load_all(text) if each]


def configuration(lab: dict[str, Any]) -> list[str]:
    """What a student writes for the mesh: neither answers nor code."""
    return [each for each in lab["files"] if each.endswith(".yaml") and each != "answers.yaml"]


@pytest.fixture(scope="module", params=LABS)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, Path]:
    folder = tmp_path_factory.mktemp("export") / "out"
    result = meshctl("export", "kubernetes", "--lab", request.param, "--solution", "-o", folder)
    assert result.exit_code == 0, result.output
    return request.param, folder


def test_the_objects_fit_the_schemas_of_kubernetes(exported: tuple[int, Path]) -> None:
    newest = kubernetes_validate.latest_version()
    for name in ("applications.yaml", "locust.yaml"):
        for each in documents(exported[1], name):
            kubernetes_validate.validate(each, newest, strict=True)


@pytest.mark.skipif(not CRDS.is_file(), reason="the CRDs of Istio are not at hand")
def test_the_istio_resources_fit_their_crds(exported: tuple[int, Path]) -> None:
    import jsonschema

    schemas = {}
    with CRDS.open("rb") as stream:
        for crd in yaml.load_all(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            for each in (crd or {}).get("spec", {}).get("versions", ()):
                key = f"{crd['spec']['group']}/{each['name']}", crd["spec"]["names"]["kind"]
                schemas[key] = each["schema"]["openAPIV3Schema"]
    for each in documents(exported[1], "istio.yaml"):
        jsonschema.validate(each, schemas[each["apiVersion"], each["kind"]])


def test_it_loads_back_with_no_other_problem_than_the_lab(exported: tuple[int, Path]) -> None:
    """A solution may do what the analyzer warns of: lab 3's is a fault."""
    number, folder = exported
    current = era("istio-current")
    files = [folder / "base" / name for name in ("applications.yaml", "istio.yaml")]
    home = next((ROOT / "labs").glob(f"{number:02}-*"))
    lab = yaml.safe_load((home / "lab.yaml").read_text())
    # The egress gateway comes with Istio, not with the lab's applications.
    installed = load_topology(lab["topology"]) if "egress_gateway" in lab["topology"] else None
    found = problems(files, current, installed)
    own = [
        home / "solution" / each
        for each in lab["files"]
        if each != "answers.yaml" and not each.endswith(".py")
    ]
    expected = {each.code for each in problems(own, era(lab["era"]))}
    # The retries of the era, now written out, stand beside the fault.
    expected |= {"KIT0103"} if "fault:" in (folder / "base" / "istio.yaml").read_text() else set()
    assert not has_errors(found), [str(each) for each in found]
    assert {each.code for each in found if str(each.level) != "info"} <= expected


def problems(files: list[Path], the_era: Era, installed: Topology | None = None) -> list[Problem]:
    loaded = load_paths(files, era=the_era, namespace="tutorial")
    found = [*loaded.problems, *validate(loaded.resources, the_era)]
    return found + analyze(loaded.resources, the_era, installed)


def test_it_routes_as_the_lab_does(exported: tuple[int, Path]) -> None:
    """The lab under its own era, and the export of it under today's, give the same routes."""
    number, folder = exported
    lab = yaml.safe_load(next((ROOT / "labs").glob(f"{number:02}-*/lab.yaml")).read_text())
    topology, old = load_topology(lab["topology"]), era(lab.get("era", "istio-current"))
    current = era("istio-current")
    files = next((ROOT / "labs").glob(f"{number:02}-*/solution"))
    own = [
        files / each for each in lab["files"] if each != "answers.yaml" and not each.endswith(".py")
    ]
    mine = load_paths(own, era=old, namespace="tutorial").resources
    theirs = load_paths([folder / "base" / "istio.yaml"], era=current).resources
    ruled = {host for each in mine if each.kind == "VirtualService" for host in each.spec.hosts}  # type: ignore[attr-defined]
    before, after = snapshots(mine, topology, old), snapshots(theirs, topology, current)
    compared = 0
    for proxy, types in before.items():
        old_hosts = hosts(types["RDS"].get("http_proxy"))
        new_hosts = hosts(after[proxy]["RDS"].get("http_proxy"))
        for name in old_hosts:
            if {name.split(".")[0], name.rpartition(":")[0]} & ruled and name in new_hosts:
                assert without_versions(new_hosts[name]) == without_versions(old_hosts[name])
                compared += 1
    assert compared or not ruled


def hosts(table: Any) -> dict[str, Any]:
    return {each.name: each.to_dict() for each in table.virtual_hosts} if table else {}


def without_versions(data: Any) -> str:
    text = json.dumps(data, sort_keys=True)
    return text.replace("/v1alpha3/", "/v1/").replace("/v1beta1/", "/v1/")


def test_it_can_be_imported_again(exported: tuple[int, Path]) -> None:
    loaded = load_paths([exported[1] / "base" / "applications.yaml"], era=era("istio-current"))
    lab = yaml.safe_load(next((ROOT / "labs").glob(f"{exported[0]:02}-*/lab.yaml")).read_text())
    was, now = (
        load_topology(lab["topology"]),
        load_topology(import_objects(loaded.resources).topology),
    )
    assert [each.hostname for each in now.services] == [each.hostname for each in was.services]
    for one, other in zip(was.services, now.services, strict=True):
        assert [(each.name, each.version, each.replicas) for each in one.workloads] == [
            (each.name, each.version, each.replicas) for each in other.workloads
        ]


def test_overlays_name_the_image_of_this_release(exported: tuple[int, Path]) -> None:
    for name in ("kind", "aks"):
        (overlay,) = yaml.safe_load_all(
            (exported[1] / "overlays" / name / "kustomization.yaml").read_text()
        )
        assert overlay["images"][0]["newTag"] == VERSION
        assert (exported[1] / "overlays" / name / overlay["resources"][0]).resolve() == exported[
            1
        ] / "base"
        for patch in overlay["patches"]:
            assert json.loads(patch["patch"])[0]["path"].startswith("/spec/")
    page = (exported[1] / "README.md").read_text()
    assert page.count("kubectl apply -k overlays/kind") == 1
    lab = yaml.safe_load(next((ROOT / "labs").glob(f"{exported[0]:02}-*/lab.yaml")).read_text())
    assert ("egress gateway" in page) == ("egress_gateway" in lab["topology"])
    assert all(name in page for name in lab["topology"].get("world", ()))


def test_the_release_is_that_of_the_package() -> None:
    import tomllib

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_what_has_no_equivalent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(
        "apiVersion: config.istio.io/v1alpha2\nkind: listchecker\nmetadata: {name: l}\nspec: {blacklist: true}\n"
    )
    asked = ["export", "kubernetes", "-f", tmp_path / "old.yaml", "--era", "istio-1.0"]
    result = meshctl(*asked, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "old.yaml:2:1: error [KIT0201]" in result.output
    assert not (tmp_path / "out").exists()


def test_a_lab_of_mixer_is_refused_with_every_reason(tmp_path: Path) -> None:
    asked = ["export", "kubernetes", "--lab", MIXERS, "--solution", "-o", tmp_path / "out"]
    result = meshctl(*asked)
    assert result.exit_code == 1
    for said in ("policy.yaml:34:1: error [KIT0201]", "quota.yaml:3:1: error [KIT0201]", "match"):
        assert said in result.output
    assert not (tmp_path / "out").exists()


def test_an_unknown_target_is_named() -> None:
    result = meshctl("export", "nomad")
    assert result.exit_code == 2
    assert "export kubernetes" in result.output


def test_a_scripted_backend_keeps_its_options() -> None:
    from mesh.kubernetes.export.objects import applications

    raw = {"services": {"a": {"app": "scripted", "options": {"default": {"status": 503}}}}}
    (deployment,) = [
        each for each in applications(load_topology(raw)) if each["kind"] == "Deployment"
    ]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert json.loads(container["command"][-1]) == {"default": {"status": 503}}
    assert "tcpSocket" in container["readinessProbe"]
    loaded = load_text(yaml.safe_dump(deployment), era=era("istio-current"))
    assert not has_errors(loaded.problems)


def test_an_application_listens_at_every_port_of_its_service() -> None:
    """A policy of a port is the pod's port's: lab 4 needs two."""
    from mesh.kubernetes.export.objects import applications

    ports = [{"number": 8080, "name": "http"}, {"number": 9090, "name": "http-old"}]
    b = {"ports": ports, "workloads": [{"app": "scripted"}]}
    raw = {"services": {"customer": {"ports": ports}, "b": b}}
    found = applications(load_topology(raw))
    listening = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["containers"][0]["command"][4]
        for each in found
        if each["kind"] == "Deployment"
    }
    targets = {
        each["metadata"]["name"]: [port["targetPort"] for port in each["spec"]["ports"]]
        for each in found
        if each["kind"] == "Service"
    }
    assert listening == {"customer-v1": "0.0.0.0:8080,0.0.0.0:9090", "b-v1": "0.0.0.0:8080"}
    assert targets == {"customer": [8080, 9090], "b": [8080, 8080]}


def test_the_installation_has_the_log_that_is_evidence(exported: tuple[int, Path]) -> None:
    from mesh.testbed.kubernetes.evidence import NEEDED

    operator = yaml.safe_load((exported[1] / "istio-install.yaml").read_text())
    mesh = operator["spec"]["meshConfig"]
    assert (mesh["accessLogFile"], mesh["accessLogEncoding"]) == ("/dev/stdout", "JSON")
    log = json.loads(mesh["accessLogFormat"])
    assert set(NEEDED) < set(log)
    terraform = ROOT / "deploy" / "terraform" / "istio" / "access-log.json"
    assert json.loads(terraform.read_text()) == log
