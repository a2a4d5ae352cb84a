"""Our fields against Istio's CustomResourceDefinitions, where a checkout has them at hand."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.istio.kinds import KINDS, Kind
from mesh.istio.models.base import child_model, fields_of, is_map, words_of

CRDS = Path(__file__).parents[3].parent / "shared" / "reference" / "istio-crds" / "crd-all.yaml"

#: Second spellings of one field that a CRD lists, and a kind that the kit does not have.
SPELLINGS = {"mirror_percent", "jwks_uri"}
NOT_HERE = {"TrafficExtension"}


def definitions() -> dict[str, dict[str, Any]]:
    with CRDS.open("rb") as stream:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        documents = [each for each in yaml.load_all(stream, Loader=loader) if each]
    return {each["spec"]["names"]["kind"]: each["spec"] for each in documents}


def differences(model: Any, schema: dict[str, Any], path: str) -> list[str]:
    theirs: dict[str, Any] = schema.get("properties", {})
    ours = fields_of(model)
    found = [f"{path}.{name}: missing" for name in theirs.keys() - ours.keys() - SPELLINGS]
    for name, field in ours.items():
        extra = field.json_schema_extra
        if name not in theirs:
            if not (isinstance(extra, dict) and "x-known-until" in extra):
                found.append(f"{path}.{name}: not in the CRD")
            continue
        part = theirs[name]
        if is_map(field):
            part = part.get("additionalProperties", part)
        if part.get("type") == "array":
            part = part["items"]
        words = part.get("enum")
        if words is not None and set(words_of(field)) != set(words):
            found.append(f"{path}.{name}: {set(words_of(field)) ^ set(words)}")
        below = child_model(field)
        if below is not None:
            found += differences(below, part, f"{path}.{name}")
        elif part.get("properties"):
            found.append(f"{path}.{name}: no model")
    return found


@pytest.mark.skipif(not CRDS.exists(), reason="no CRDs beside this checkout")
def test_every_crd_has_a_kind_with_its_versions() -> None:
    ours = {(kind.name, kind.group): set(kind.versions) for kind in KINDS}
    for name, spec in definitions().items():
        if name in NOT_HERE:
            continue
        versions = {version["name"] for version in spec["versions"]}
        assert versions <= ours[name, spec["group"]], name


@pytest.mark.skipif(not CRDS.exists(), reason="no CRDs beside this checkout")
@pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if kind.group.endswith("istio.io") and kind.until is None],
    ids=lambda kind: kind.name,
)
def test_fields_and_words_agree(kind: Kind) -> None:
    spec = definitions()[kind.name]
    for version in spec["versions"]:
        schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        assert differences(kind.model, schema, kind.name) == []
