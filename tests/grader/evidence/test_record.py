"""Evidence of two runs on one mesh, put together."""

from grader.evidence.record import Evidence
from grader.load.observation import Observation


def seen(probe: str, request_id: str) -> Observation:
    return Observation(0, 0, request_id, 200, "", probe=probe)


def test_probes_that_were_left_out_come_from_the_run_before() -> None:
    before = Evidence(
        notes={"share": {"old": 1}, "predicted": {"held": True}},
        observations=(seen("share", "share-a-0"), seen("predicted-x", "predicted-x-a-0")),
        access_log=({"request_id": "share-a-0"}, {"request_id": "predicted-x-a-0"}),
        journal=({"request_id": "share-a-0"}, {"request_id": "predicted-x-a-0"}),
    )
    now = Evidence(
        notes={"share": {"new": 2}},
        observations=(seen("share", "share-b-0"),),
        access_log=({"request_id": "share-b-0"},),
        journal=({"request_id": "share-b-0"},),
    )
    both = now.with_missing(before)
    assert both.notes == {"share": {"new": 2}, "predicted": {"held": True}}
    ids = ["share-b-0", "predicted-x-a-0"]
    assert [item.request_id for item in both.observations] == ids
    assert [line["request_id"] for line in both.access_log] == ids
    assert [line["request_id"] for line in both.journal] == ids
