"""What stands beside a mesh is given files that fit together; the public images are not run here."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.testbed.compose import profiles

GRAFANA = profiles.CONFIG / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))


def services() -> dict[str, Any]:
    def harden(command: list[str], *, user: int, memory: str) -> dict[str, Any]:
        return {"command": command, "user": user, "mem_limit": memory, "tmpfs": []}

    return profiles.observability(harden)


def provisioned(kind: str) -> Any:
    return yaml.safe_load((GRAFANA / "provisioning" / kind / "mesh.yaml").read_text())


def test_grafana_finds_its_sources_at_the_names_and_ports_of_the_containers() -> None:
    found = {each["name"].lower(): each for each in provisioned("datasources")["datasources"]}
    assert set(found) <= set(services())
    for name, each in found.items():
        assert each["url"] == f"http://{name}:{profiles.PORTS[name]}"
        assert (each["type"], each["access"]) == (name, "proxy")
    assert [each["name"] for each in found.values() if each.get("isDefault")] == ["Prometheus"]


def test_grafana_finds_its_dashboards_where_they_are_mounted() -> None:
    grafana = services()["grafana"]
    mounted = {each["target"]: Path(each["source"]) for each in grafana["volumes"]}
    (provider,) = provisioned("dashboards")["providers"]
    assert sorted(mounted[provider["options"]["path"]].glob("*.json")) == DASHBOARDS
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (mounted[str(home.parent)] / home.name).exists()
    assert mounted["/etc/grafana/provisioning"] == GRAFANA / "provisioning"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_has_its_panels_beside_each_other_and_known_sources(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    known = {each["uid"]: each["type"] for each in provisioned("datasources")["datasources"]}
    assert dashboard["uid"] == path.stem
    panels = dashboard["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for each in panels:
        assert known[each["datasource"]["uid"]] == each["datasource"]["type"]
        place = each["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        letters = [target["refId"] for target in each["targets"]]
        assert len(set(letters)) == len(letters)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_own_tool_accepts_configuration_and_expressions(tmp_path: Path) -> None:
    rules = [
        {"record": f"{path.stem}:{panel['id']}:{target['refId']}", "expr": target["expr"]}
        for path in DASHBOARDS
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    for words in (["config", str(profiles.CONFIG / "prometheus.yml")], ["rules", str(file)]):
        done = subprocess.run(
            ["promtool", "check", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
