"""The access log executes Envoy's formats."""

from __future__ import annotations

import json

import pytest
from envoy_data_plane.envoy.config.core.v3 import SubstitutionFormatString
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.google.protobuf import Struct, Value
from mitmproxy.http import Headers

from mesh.accesslog import JSON_FORMAT, parse_record
from mesh.sidecar.access_log import AccessLogger, LogContext, LogFiles, compile_operator
from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.stream_info import StreamInfo


def context(**facts):
    info = StreamInfo(start=1700000000.25, started=5.0, ended=5.0125)
    for name, value in facts.items():
        setattr(info, name, value)
    request = {b":method": b"GET", b":path": b"/new", b"x-envoy-original-path": b"/old"}
    return LogContext(info, request, Headers([(b"x-envoy-upstream-service-time", b"7")]))


def config(path, fields):
    values = {name: Value(string_value=text) for name, text in fields.items()}
    formats = SubstitutionFormatString(json_format=Struct(fields=values))
    return FileAccessLog(path=str(path), log_format=formats)


def test_a_line_is_a_record_and_reaches_the_file_by_reopening(tmp_path):
    files, path = LogFiles(), tmp_path / "access.jsonl"
    logger = AccessLogger(config(path, {**JSON_FORMAT, "direction": "outbound"}), files)
    logger.log(context(response_code=503, flags=["URX", "UF"], hosts_attempted=["a:1", "b:2"]))
    assert not path.exists()
    files.reopen()
    line = path.read_text()
    assert list(json.loads(line)) == sorted([*JSON_FORMAT, "direction"])
    record = parse_record("pod", line)
    assert record.start_time == "2023-11-14T22:13:20.250000Z"
    assert (record.method, record.path, record.direction) == ("GET", "/old", "outbound")
    assert (record.response_code, record.response_flags) == (503, "URX,UF")
    assert record.upstream_hosts_attempted == "a:1,b:2"
    assert record.upstream_service_time == "7"
    assert record.duration == 12
    assert json.loads(line)["user_agent"] is None


def test_a_rotated_file_is_opened_anew(tmp_path):
    files, path = LogFiles(), tmp_path / "access.jsonl"
    logger = AccessLogger(config(path, {"a": "%RESPONSE_CODE%"}), files)
    logger.log(context())
    files.reopen()
    path.rename(tmp_path / "old")
    logger.log(context(response_code=200))
    files.reopen()
    assert path.read_text() == '{"a":200}\n'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("%REQ(NONE)%", None),
        ("%REQ(NONE?:PATH):2%", "/n"),
        ("%RESPONSE_CODE%", 0),
        ("code %RESPONSE_CODE% %REQ(NONE)%", "code 0 -"),
        ("%RESPONSE_FLAGS%", "-"),
    ],
)
def test_operators(text, value):
    assert compile_operator(text)(context()) == value


def test_an_unknown_operator_is_refused_by_name():
    with pytest.raises(ConfigRefusedError, match="%NONSENSE%"):
        compile_operator("%NONSENSE%")
