"""JSON schemas for editors."""

import json
from pathlib import Path

from mesh.istio.kinds import KINDS
from mesh.istio.schemas import write_schemas


def test_a_schema_for_every_kind(tmp_path: Path) -> None:
    files = write_schemas(tmp_path / "new")
    assert len(files) == len(KINDS) + 1
    choice = json.loads((tmp_path / "new" / "all.json").read_text())
    for reference in choice["oneOf"]:
        schema = json.loads((tmp_path / "new" / reference["$ref"]).read_text())
        assert schema["properties"]["kind"]["const"] == schema["title"]
        assert schema["additionalProperties"] is False


def test_what_an_editor_offers(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    schema = json.loads((tmp_path / "virtualservice.networking.istio.io.json").read_text())
    assert schema["properties"]["apiVersion"]["enum"][-1] == "networking.istio.io/v1"
    route = schema["$defs"]["HTTPRoute"]
    assert "mirrorPercentage" in route["properties"]
    assert route["additionalProperties"] is False
    assert "pattern" in route["properties"]["timeout"]["anyOf"][0]


def test_every_reference_leads_somewhere(tmp_path: Path) -> None:
    for file in write_schemas(tmp_path):
        schema = json.loads(file.read_text())
        for line in file.read_text().splitlines():
            if '"$ref": "#/$defs/' in line:
                assert line.split("/")[-1].strip('", ') in schema["$defs"]
