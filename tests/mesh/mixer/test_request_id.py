"""An id that somebody sent is found again, though Envoy writes a digit into it."""

import pytest

from mesh.mixer.request_id import certain, without_reason

SENT = "5eed0000-0000-4000-8000-000000000001"
KEPT = "5eed0000-0000-9000-8000-000000000001"


def test_a_uuid_is_the_same_request_whatever_the_reason_of_its_trace() -> None:
    assert without_reason(SENT) == without_reason(KEPT)
    assert without_reason(KEPT).startswith(without_reason(SENT[:20]))
    assert without_reason(SENT) != without_reason(SENT[:-1] + "2")


@pytest.mark.parametrize(
    "other", ["my-request", "", "5eed0000", "0af7651916cd43dd8448eb211c80319c"]
)
def test_what_is_no_uuid_stays(other: str) -> None:
    assert without_reason(other) == certain(other) == other


def test_the_part_that_is_in_every_line() -> None:
    assert certain(SENT) == "5eed0000-0000-"
    assert certain(SENT) in KEPT
