"""Eras: what the table of releases says, and what a wrong name gets."""

import pytest

from mesh.istio.eras import ERAS, era


def test_the_lecture_and_the_tutorial_have_their_releases() -> None:
    assert list(ERAS) == ["istio-1.0", "istio-1.9", "istio-1.28"]
    assert era("istio-current") is era("istio-1.28")


def test_what_changed_between_the_releases() -> None:
    old, middle, new = (era(name) for name in ERAS)
    assert old.default_retry is None
    assert middle.default_retry is not None
    assert middle.default_retry.retriable_status_codes == (503,)
    assert "retriable-status-codes" in middle.default_retry.retry_on
    assert new.default_retry is not None
    assert new.default_retry.retriable_status_codes == ()
    assert "retriable-status-codes" not in new.default_retry.retry_on
    assert [each.consecutive_errors_honoured for each in (old, middle, new)] == [True, False, False]
    assert [each.weights_must_total_100 for each in (old, middle, new)] == [True, True, False]
    assert [each.default_load_balancer for each in (old, middle, new)] == [
        "ROUND_ROBIN",
        "ROUND_ROBIN",
        "LEAST_REQUEST",
    ]
    assert [each.mixer for each in (old, middle, new)] == [True, False, False]


def test_an_unknown_era_names_those_there_are() -> None:
    with pytest.raises(
        ValueError,
        match=r'unknown era "istio-1.90".*istio-1.0, istio-1.9.*Did you mean "istio-1.9"',
    ):
        era("istio-1.90")
