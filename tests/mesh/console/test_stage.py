"""A scene on a running mesh: it begins, is changed, and is brought back."""

from pathlib import Path

from mesh.console.recording import SHORT, load, record, save
from mesh.console.scene import find_scene
from mesh.console.stage import Stage, Visitors
from tests.mesh.console.conftest import Console


def versions(stage: Stage, count: int = 12) -> set[str]:
    return {stage.send("/", {})[1].partition("recommendation ")[2][:2] for _ in range(count)}


def test_a_scene_comes_back_to_its_beginning(console: Console) -> None:
    stage = Stage(console.bed, find_scene(3))
    assert "Dark launch" in stage.reset()
    assert versions(stage) == {"v1"}
    stage.fault("preference", "abort")
    stage.apply(stage.scene.apply.replace("subset: version-v1}}]", "subset: version-v2}}]"))
    assert len(stage.resources()) > 4
    stage.reset()
    assert versions(stage) == {"v1"}
    kinds = sorted(each["kind"] for each in stage.resources())
    assert kinds == ["DestinationRule", "Gateway", "VirtualService", "VirtualService"]


def test_a_sick_pod_is_sick_again_after_a_reset(console: Console) -> None:
    stage = Stage(console.bed, find_scene(1))
    stage.reset()
    stage.kill(console.bed.find("recommendation-v2").name)
    stage.reset()
    try:
        assert {stage.send("/", {})[0] for _ in range(4)} == {200, 503}
    finally:
        console.bed.tell("recommendation-v2", "/behave")
        console.bed.apply(())


def test_a_run_is_recorded_and_read_again(console: Console, tmp_path: Path) -> None:
    stage = Stage(console.bed, find_scene(2))
    stage.reset()
    visitors = Visitors(console.bed, 2)
    visitors.start()
    try:
        made = record(stage, frames=2)
    finally:
        visitors.stop()
        console.bed.apply(())
    size = save(made, tmp_path / "run.json.gz")
    found = load(tmp_path / "run.json.gz")
    assert size < 30_000
    assert found == made
    assert found.frames[1].graphs[SHORT].edges
    assert {status for status, _, _ in found.sent} == {200}
    assert all(found.hops[name] for _, _, name in found.sent)
