"""Questions: a request for each block of each match, and what a file of requests may say."""

from __future__ import annotations

import pytest

from mesh.istio import era, load_text
from mesh.testbed.load_topology import standard_topology
from mesh.workbench.questions import Question, QuestionError, questions_of, read_questions

CONFIG = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: recommendation}
spec:
  hosts: [recommendation]
  http:
  - match:
    - headers: {baggage-user-agent: {exact: Firefox}, x: {}}
      uri: {prefix: /a}
    - queryParams: {q: {exact: a b}}
      method: {exact: POST}
    - sourceLabels: {app: customer}
    - uri: {regex: '/v[0-9]+'}
    route: [{destination: {host: recommendation}}]
  - route: [{destination: {host: recommendation}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front}
spec:
  hosts: [shop.example]
  gateways: [gate]
  http:
  - match: [{uri: {exact: /cart}}]
    route: [{destination: {host: customer}}]
"""


def test_a_request_for_each_block() -> None:
    resources = load_text(
        CONFIG, "c.yaml", era=era("istio-current"), namespace="tutorial"
    ).resources
    found = questions_of(resources, standard_topology())
    url = "http://recommendation:8080"
    for question in (
        Question("http://customer:8080/", "preference-v1"),
        Question(f"{url}/a", "customer-v1", "GET", (("baggage-user-agent", "Firefox"), ("x", "x"))),
        Question(f"{url}/?q=a%20b", "customer-v1", "POST"),
        Question(f"{url}/", "customer-v1"),
        Question("/cart", "", "GET", (("host", "shop.example"),)),
    ):
        assert question in found.asked
    assert len(found.asked) == len(set(found.asked))
    (note,) = found.notes
    assert note.startswith("c.yaml:13:7")
    assert "regular expression of uri" in note


def test_requests_of_a_file() -> None:
    raw = ["/customer", {"url": "http://b:80/", "from": "customer", "headers": {"A": 1}}]
    assert read_questions(raw, "f") == [
        Question("/customer"),
        Question("http://b:80/", "customer", "GET", (("a", "1"),)),
    ]


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ({"url": "/"}, "a list of requests"),
        ([1], "request 1: write a path"),
        (["/", {"url": "/", "form": "x"}], "request 2: no key 'form'"),
        ([{"url": "/", "headers": "x"}], "headers are a mapping"),
        (["http://b:80/"], "say who asks"),
    ],
)
def test_a_wrong_file_gets_one_sentence(raw: object, word: str) -> None:
    with pytest.raises(QuestionError, match=r"^f: ") as caught:
        read_questions(raw, "f")
    assert word in str(caught.value)
