"""What no two runs share is taken out; the rest stays."""

import json

from mesh.accesslog import AccessLogRecord
from mesh.conformance.observe import Names, answer_row, backends, record_row
from mesh.testbed.base import Answer

NAMES = Names({"b-v1-abc-xyz": "b-v1"}, "istio-ingressgateway")


def test_headers_of_an_answer() -> None:
    headers = (("date", "now"), ("x-request-id", "1-2"), ("x-a", "1"), ("x-a", "2"))
    row = answer_row(Answer(200, headers, b"from b-v1-abc-xyz"), NAMES)
    assert row == {
        "status": "200",
        "header.x-request-id": "*",
        "header.x-a": "1, 2",
        "body": "from b-v1",
    }


def test_what_a_backend_received() -> None:
    said = {"pod": "b-v1-abc-xyz", "headers": {"host": "b", "x-request-id": "7"}, "path": "/a"}
    headers = (("content-length", "99"),)
    row = answer_row(Answer(200, headers, json.dumps(said).encode()), NAMES)
    assert row["backend"] == "b-v1"
    assert row["received.host"] == "b"
    assert row["received.x-request-id"] == "*"
    assert row["received:path"] == "/a"
    assert "body" not in row
    assert "header.content-length" not in row


def test_json_of_somebody_else_is_a_body() -> None:
    assert answer_row(Answer(200, (), b'{"pod": 1}'), NAMES)["body"] == '{"pod": 1}'
    assert answer_row(Answer(200, (), b"{broken"), NAMES)["body"] == "{broken"


def test_a_record_names_its_workload() -> None:
    row = record_row(AccessLogRecord("b-v1-abc-xyz", direction="inbound", response_code=200), NAMES)
    assert row["by"] == "b-v1 inbound"
    assert row["response_code"] == "200"
    gateway = record_row(AccessLogRecord("istio-ingressgateway-q1", direction="outbound"), NAMES)
    assert gateway["by"] == "gateway outbound"


def test_backends_count_by_workload() -> None:
    assert backends([{"pod": "b-v1-abc-xyz"}, {"pod": "b-v1-abc-xyz"}], NAMES) == {"b-v1": 2}
