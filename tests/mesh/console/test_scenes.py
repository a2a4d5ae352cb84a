"""Scenes as data: each loads, is shown in a view that is there, and has a recorded run of itself."""

import pytest

from mesh.console.layout import VIEWS
from mesh.console.recording import FRAMES, SENT, SHORT, WHOLE, load
from mesh.console.replay import Replay
from mesh.console.scene import Scene, SceneError, all_scenes, find_scene
from mesh.istio.analyze.files import check_text
from mesh.istio.eras import era
from mesh.istio.problem import has_errors

SCENES = all_scenes()
EACH = pytest.mark.parametrize("scene", SCENES, ids=lambda each: each.path.stem)


def test_the_acts_of_the_lecture_have_scenes() -> None:
    assert [each.number for each in SCENES] == list(range(1, len(SCENES) + 1))
    assert {each.act[0] for each in SCENES} == {"1", "3", "4", "5", "6"}
    with pytest.raises(SceneError, match="there is no scene 99: choose one of 1 to"):
        find_scene(99)


@EACH
def test_a_scene_loads_in_its_release(scene: Scene) -> None:
    topology = scene.topology
    found = check_text(
        scene.apply,
        scene.path.name,
        era=era(scene.era),
        namespace=topology.namespace,
        services=topology,
    )
    assert not has_errors(found.problems), [str(each) for each in found.problems]
    assert scene.resources()
    assert scene.view in VIEWS
    pods = [load.name for service in topology.services for load in service.workloads]
    assert {pod for pod, _ in scene.tell} <= set(pods)


@EACH
def test_its_recorded_run_is_of_this_scene(scene: Scene) -> None:
    """After a change of a scene: ``meshctl demo N --record``."""
    assert scene.recording.stat().st_size < 60_000
    found = load(scene.recording)
    assert (found.applied, found.era) == (scene.apply, scene.era)
    assert found.services == [each.name for each in scene.topology.services]
    assert (len(found.frames), len(found.sent)) == (FRAMES, SENT)
    assert all(name in found.records for frame in found.frames for name in frame.newest)
    for _, _, name in found.sent:
        hops = {hop["pod"].partition("-")[0] for hop in found.hops[name]}
        assert hops >= {"istio", "customer", "preference"}
    assert found.frames[-1].graphs[WHOLE].edges


def test_a_damaged_recording_is_named(scene_file: Scene) -> None:
    with pytest.raises(ValueError, match=r"1-broken.json.gz is no recording"):
        load(scene_file.recording)


@pytest.fixture
def scene_file(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    from dataclasses import replace

    folder = tmp_path_factory.mktemp("scenes")
    scene = replace(SCENES[0], path=folder / "1-broken.yaml")
    scene.recording.write_bytes(b"no gzip")
    return scene


def test_a_replay_goes_through_its_frames_and_begins_again() -> None:
    now = 100.0
    scene = find_scene(2)
    recording = load(scene.recording)
    replay = Replay(scene, recording, "no room", clock=lambda: now)
    assert "recorded on" in replay.replayed
    assert "no room" in replay.replayed
    assert replay.graph(SHORT) == recording.frames[0].graphs[SHORT]
    now = 103.5
    assert replay.graph(600) == recording.frames[3].graphs[WHOLE]
    assert [each.request_id for each in replay.newest(3)] == list(recording.frames[3].newest[:3])
    now = 100.0 + FRAMES + 1
    assert replay.graph(0) == recording.frames[1].graphs[WHOLE]
    assert "begins again" in replay.reset()
    assert replay.graph(0) == recording.frames[0].graphs[WHOLE]


def test_a_replay_shows_its_requests_and_changes_nothing() -> None:
    from mesh.console.page_source import SourceError

    scene = find_scene(2)
    replay = Replay(scene, load(scene.recording))
    status, body, name = replay.send("/nowhere", {})
    assert status == 200
    assert "in the recorded run" in body
    pods = {hop["pod"].partition("-")[0] for hop in replay.hops(name)}
    assert pods == {"istio", "customer", "preference", "recommendation"}
    assert replay.hops("nobody's") == []
    assert replay.problems("kind: Nonsense\n")
    for change in (
        lambda: replay.apply("x"),
        lambda: replay.delete("a", "b", "c"),
        lambda: replay.kill("a"),
        lambda: replay.fault("a", "delay"),
        lambda: replay.heal("a"),
        lambda: replay.flow_view("a"),
    ):
        with pytest.raises(SourceError, match="replay of a recorded run"):
            change()
