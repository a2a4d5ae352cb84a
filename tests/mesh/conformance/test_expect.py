"""Every expectation, met and not met."""

import pytest

from mesh.conformance.case import Expect
from mesh.conformance.expect import binomial_p, failures
from mesh.conformance.observe import Observation


def seen(**changes: object) -> Observation:
    values: dict[str, object] = {
        "answers": [{"status": "200", "body": "hello", "header.x-a": "1", "received.host": "b"}],
        "records": [{"by": "b-v1 inbound", "response_flags": "UC"}],
        "caller": [{"by": "client outbound", "response_flags": "NR", "response_code": "404"}],
        "backends": {"b-v1": 9, "b-v2": 1},
        "requests": [{"backend": "b-v2", "x-n": "1"}, {"backend": "b-v2", "x-n": "2", "x-o": "3"}],
    }
    return Observation(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "expect",
    [
        {},
        {"status": 200},
        {"status": {200: 1}},
        {"status": {200: 1, 503: 0}},
        {"status": {200: [0, 1], 503: [0, 9]}},
        {"inbound": {"response_flags": "UC"}},
        {"requests": {"b-v2": {"x-n": ["1", "2"], "X-P": None}}},
        {"requests": {"b-v2": {"x-n": "*"}}},
        {"requests": {"b-v2": {"x-o": ["", "3"]}}},
        {"body": "hello"},
        {"body_contains": "ell"},
        {"headers": {"X-A": "1", "x-b": None}},
        {"headers": {"x-a": "*"}},
        {"received": {"host": "b"}},
        {"records": {"response_flags": "NR", "response_code": 404}},
        {"backends": {"b-v1": 9, "b-v3": 0}},
        {"backends": {"b-v2": [1, 2]}},
        {"distribution": {"share": {"b-v1": 0.9}, "alpha": 0.01}},
    ],
)
def test_met(expect: dict[str, object]) -> None:
    assert failures(Expect.model_validate(expect), seen()) == []


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ({"status": 503}, "1 x 200 instead of 1 x 503"),
        ({"status": {200: 2}}, "1 x 200 instead of 2 x 200"),
        ({"status": {200: [2, 3]}}, "1 x 200 instead of 2 to 3 x 200"),
        ({"status": {503: [0, 1]}}, "1 x 200 instead of 0 to 1 x 503"),
        ({"inbound": {"response_flags": ""}}, "inbound record response_flags: 'UC'"),
        ({"requests": {"b-v2": {"x-n": "1"}}}, "x-n: '2' (1 of 2)"),
        ({"requests": {"b-v2": {"x-n": ["2", "1"]}}}, "['1', '2'] instead of ['2', '1']"),
        ({"requests": {"b-v9": {"x-n": None}}}, "no request came"),
        ({"body": ""}, "'hello' (1 of 1) instead of ''"),
        ({"body_contains": "bye"}, "'bye' is not in 'hello'"),
        ({"headers": {"x-a": None}}, "'1' (1 of 1) instead of nothing"),
        ({"headers": {"x-b": "*"}}, "nothing (1 of 1) instead of some value"),
        ({"received": {"host": "c"}}, "received host: 'b'"),
        ({"records": {"response_flags": "UH"}}, "record response_flags: 'NR'"),
        ({"backends": {"b-v1": 8}}, "b-v1 had 9 requests instead of 8"),
        ({"backends": {"b-v3": [1, 4]}}, "b-v3 had 0 requests instead of 1 to 4"),
        ({"distribution": {"share": {"b-v2": 0.9}}}, "b-v2 had 1 of 10"),
    ],
)
def test_not_met(expect: dict[str, object], words: str) -> None:
    (text,) = failures(Expect.model_validate(expect), seen())
    assert words in text


def test_no_record_is_not_a_pass() -> None:
    expect = Expect.model_validate({"records": {"response_code": 200}})
    assert failures(expect, seen(caller=[])) != []
    expect = Expect.model_validate({"inbound": {"response_code": 200}})
    assert failures(expect, seen(records=[])) != []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.37])
@pytest.mark.parametrize("total", [1, 20, 400])
def test_binomial_is_scipys(share: float, total: int) -> None:
    from scipy.stats import binomtest

    for count in {0, total // 10, total // 2, total}:
        assert binomial_p(count, total, share) == pytest.approx(
            binomtest(count, total, share).pvalue, rel=1e-6
        )


def test_binomial_of_a_certain_share() -> None:
    assert binomial_p(0, 10, 0.0) == 1.0
    assert binomial_p(1, 10, 0.0) == 0.0
    assert binomial_p(10, 10, 1.0) == 1.0
