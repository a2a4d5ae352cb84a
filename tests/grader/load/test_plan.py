import pytest

from grader.load.observation import Observation, from_dict
from grader.load.plan import Plan, from_json


def test_a_plan_survives_the_pipe() -> None:
    plan = Plan("share", "http://127.0.0.1:1", 10, headers={"a": "b"}, mode="stream", nonce="n")
    assert from_json(plan.to_json()) == plan
    assert plan.request_id(7) == "share-n-00007"
    assert Plan("share", "http://x", 1).request_id(7) == "share-00007"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "Expecting"),
        ("[]", "a plan is a JSON object"),
        ('{"probe": "x"}', "the plan does not fit"),
        ('{"probe": "x", "host": "http://x", "requests": 1, "seconds": 3}', "no field 'seconds'"),
        ('{"probe": "x", "host": "http://x", "requests": 0}', "requests must be at least 1"),
        ('{"probe": "x", "host": "http://x", "requests": 1, "path": "a"}', "must start with /"),
        ('{"probe": "x", "host": "http://x", "requests": 1, "mode": "b"}', "barrier or stream"),
        ('{"probe": "x", "host": "http://x", "requests": 1, "timeout": 0}', "timeout"),
        ('{"probe": "x", "host": "http://x", "requests": 1, "connections": "b"}', "keep or new"),
    ],
)
def test_a_plan_that_cannot_be_meant(line: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_json(line)


@pytest.mark.parametrize(
    ("status", "body", "version", "pod"),
    [
        (200, "customer => preference => recommendation v1 from 'a-1': 3\n", "v1", "a-1"),
        (200, "recommendation v3 2018-01-01 from 'c': 12", "v3", "c"),
        (503, "customer => Error: 503 - recommendation v1 from 'a-1': 3\n", "", ""),
        (200, "Following requests to / will return 200\n", "", ""),
        (0, "", "", ""),
    ],
)
def test_who_answered(status: int, body: str, version: str, pod: str) -> None:
    item = Observation(0, 0, "id", status, body)
    assert (item.version, item.pod) == (version, pod)
    assert from_dict(item.as_dict()) == item
