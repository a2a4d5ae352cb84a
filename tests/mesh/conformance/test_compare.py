"""Differences between the engines: found, tolerated when declared, and never stale."""

from mesh.conformance.case import Step
from mesh.conformance.compare import differences
from mesh.conformance.observe import Observation, Row


def seen(*answers: Row, backends: dict[str, int] | None = None) -> Observation:
    return Observation(list(answers), [], [], backends or {})


def step(**keys: object) -> Step:
    return Step.model_validate({"to": "/", **keys})


KNOWN = {"engine": "mitmproxy", "reason": "a name", "fields": ["answer.header.server"]}


def test_equal_engines() -> None:
    one = seen({"status": "200"}, {"status": "503"})
    other = seen({"status": "503"}, {"status": "200"})
    assert differences(step(count=2), one, other) == []


def test_a_field_is_named_with_both_values() -> None:
    (text,) = differences(step(), seen({"status": "200"}), seen({"status": "503"}))
    assert text == "answer.status: mitmproxy 1 x '200' | envoy 1 x '503'"


def test_numbers_count_unless_a_draw_decides() -> None:
    one = seen({"backend": "a"}, {"backend": "a"}, {"backend": "b"}, backends={"a": 2, "b": 1})
    other = seen({"backend": "a"}, {"backend": "b"}, {"backend": "b"}, backends={"a": 1, "b": 2})
    assert len(differences(step(), one, other)) == 2
    random = step(expect={"distribution": {"share": {"a": 0.5}}})
    assert differences(random, one, other) == []
    assert differences(step(compare="none"), one, seen()) == []


def test_fields_may_agree_one_by_one_and_not_together() -> None:
    one = seen({"a": "1", "b": "1"}, {"a": "2", "b": "2"})
    other = seen({"a": "1", "b": "2"}, {"a": "2", "b": "1"})
    (text,) = differences(step(), one, other)
    assert "not together" in text


def test_a_declared_difference_is_no_failure() -> None:
    one, other = seen({"header.server": "a"}), seen({"header.server": "b"})
    assert differences(step(known_difference=KNOWN), one, other) == []


def test_another_difference_beside_a_declared_one_is() -> None:
    one = seen({"header.server": "a", "status": "200"})
    other = seen({"header.server": "b", "status": "503"})
    (text,) = differences(step(known_difference=KNOWN), one, other)
    assert text.startswith("answer.status")


def test_a_declared_difference_that_is_gone_is_said() -> None:
    same = seen({"header.server": "a"})
    (text,) = differences(step(known_difference=KNOWN), same, same)
    assert text == "answer.header.server: declared as different, but equal"
