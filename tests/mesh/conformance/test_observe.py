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
    assert row["received.:path"] == "/a"
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


def test_an_address_of_this_machine_is_loopback() -> None:
    names = Names({}, "", frozenset({"192.0.2.2", "127.0.0.1"}))
    assert names.here("203.0.113.7,192.0.2.2") == "203.0.113.7, 127.0.0.1"
    assert names.here("203.0.113.7,203.0.113.8") == "203.0.113.7,203.0.113.8"


def test_ports_and_socket_paths_are_taken_out() -> None:
    assert NAMES.clean("127.0.0.1:50417") == "127.0.0.1:*"
    assert NAMES.clean("{refused|remote_address:/tmp/m-1/s/3}") == "{refused|remote_address:/*}"
    assert NAMES.clean("backend:8080") == "backend:8080"
