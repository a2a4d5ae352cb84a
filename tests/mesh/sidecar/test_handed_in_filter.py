"""What code that was handed in may say, and what becomes of a request when it says nonsense."""

from __future__ import annotations

import json
import sys

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow

from mesh.sidecar.handed_in_filter import ANSWERED, FAILED, HandedInFilter
from mesh.sidecar.stream_info import METADATA_KEY, StreamInfo

GOOD = {"method": "GET", "path": "/", "headers": [["x-a", "1"]], "response": None}


async def asked(answer: object) -> tuple[StreamInfo, HTTPFlow]:
    """Ask a process that says ``answer`` to everything; what is known of the request, and the flow."""
    code = (
        "import sys\n"
        f"print({json.dumps(json.dumps({}))}, flush=True)\n"
        f"for _ in sys.stdin: print({json.dumps(json.dumps(answer))}, flush=True)\n"
    )
    handed_in = HandedInFilter([sys.executable, "-c", code])
    flow = tflow.tflow()
    info = flow.metadata[METADATA_KEY] = StreamInfo(0.0, 0.0)
    try:
        await handed_in.request(flow)
    finally:
        await handed_in.close()
    return info, flow


async def test_a_request_goes_on_as_the_code_says() -> None:
    info, flow = await asked(GOOD | {"path": "/other"})
    assert (flow.response, flow.request.path, info.details) == (None, "/other", "")
    assert dict(flow.request.headers) == {"x-a": "1"}


async def test_the_code_may_answer() -> None:
    answer = {"status": 403, "headers": [["x-b", "2"]], "body": "no"}
    info, flow = await asked(GOOD | {"response": answer})
    assert flow.response is not None
    assert (flow.response.status_code, flow.response.text) == (403, "no")
    assert info.details == ANSWERED


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "method"),
        (GOOD | {"path": "/a\r\nx: y"}, "path"),
        (GOOD | {"path": "/a b"}, "path"),
        (GOOD | {"path": 7}, "path"),
        (GOOD | {"headers": [["x"]]}, "headers.0"),
        (GOOD | {"headers": [["x", "\u20ac"]]}, "headers.0.1"),
        (GOOD | {"response": {"status": 42, "headers": []}}, "response.status"),
        ({"error": "boom"}, "boom"),
        ([1], "1"),
    ],
)
async def test_nonsense_is_an_answer_of_500_that_says_why(answer: object, said: str) -> None:
    info, flow = await asked(answer)
    assert flow.response is not None
    assert flow.response.status_code == 500
    assert flow.response.text is not None
    assert said in flow.response.text
    assert info.details == FAILED
