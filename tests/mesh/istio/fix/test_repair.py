"""Each repair, on the smallest text that needs it; and what must never be touched."""

from __future__ import annotations

from textwrap import dedent

import pytest

from mesh.istio import era, load_text
from mesh.istio.fix import repair
from tests.mesh.istio.fix.cases_misplaced import MISPLACED
from tests.mesh.istio.fix.cases_words import DESTINATION_RULE, VIRTUAL_SERVICE

NOW = era("istio-current")
HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: a\n"
RULE = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: a\n"


def block(text: str) -> str:
    return dedent(text).lstrip("\n")


CASES = [
    pytest.param(head + block(before), None if after is None else head + block(after), id=name)
    for head, table in ((HEAD, MISPLACED), (HEAD, VIRTUAL_SERVICE), (RULE, DESTINATION_RULE))
    for name, (before, after) in table.items()
]


@pytest.mark.parametrize(("before", "after"), CASES)
def test_repairs_and_keeps_the_rest(before: str, after: str | None) -> None:
    done = repair(before, "f.yaml", era=NOW)
    if after is not None:
        assert done.text == after
        loaded = load_text(done.text, era=NOW)
        assert not loaded.problems
        assert len(loaded.resources) == 1
        assert done.changes
        assert all(each.reason and each.position.line > 0 for each in done.changes)
    assert repair(done.text, era=NOW).changes == []


GOOD = """\
# a comment
apiVersion: "networking.istio.io/v1"

kind:   VirtualService    # odd spacing
metadata: {name: a, namespace: "{tutorial}x"}
spec:
  hosts: [ "a" ]
  http:
  - {route: [{destination: {host: a, subset: v1}, weight: 100}]}
  - name: last
    # nothing else
    route:
    - destination:
            host: 'a'
---
just: "a map of something else"
"""


def test_leaves_what_is_right_alone() -> None:
    assert repair(GOOD.replace("{tutorial}x", "t"), era=NOW).changes == []


def test_an_old_era_keeps_its_words() -> None:
    text = (
        RULE
        + "spec:\n  host: a\n  trafficPolicy:\n    outlierDetection:\n      consecutiveErrors: 3\n"
    )
    assert repair(text, era=era("istio-1.0")).changes == []
    assert "consecutiveGatewayErrors: 3" in repair(text, era=era("istio-1.9")).text


def test_kind_apiversion_and_name() -> None:
    text = "kind: virtualService\nmetadata:\n  name: serviceB\nspec:\n  hosts: [b]\n  tcp:\n  - route:\n    - destination: {host: b}\n"
    done = repair(text, "f.yaml", era=era("istio-1.9"))
    assert done.text.startswith("apiVersion: networking.istio.io/v1beta1\nkind: VirtualService\n")
    assert "name: service-b" in done.text
    assert [str(change.position) for change in done.changes] == [
        "f.yaml:1:1",
        "f.yaml:1:1",
        "f.yaml:3:1",
    ]


def test_a_kind_is_guessed_from_its_fields() -> None:
    done = repair("metadata:\n  name: a\nspec:\n  host: a\n  subsets: []\n", era=NOW)
    assert "kind: DestinationRule" in done.text
    assert load_text(done.text, era=NOW).resources[0].kind == "DestinationRule"
    assert repair("metadata:\n  name: a\nspec:\n  colour: red\n", era=NOW).changes == []


def test_spec_before_metadata() -> None:
    text = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nspec:\n  host: a\nmetadata:\n  name: a\n"
    done = repair(text, era=NOW)
    assert done.text.index("metadata:") < done.text.index("spec:")
    assert load_text(done.text, era=NOW).resources


def test_numbered_lines_with_a_two_digit_end() -> None:
    rows = (
        RULE + "spec:\n  host: a\n  subsets:\n    - name: v1\n      labels:\n        version: v1\n"
    ).splitlines()
    assert len(rows) >= 10
    padded = "\n".join(f"{n:<3}{row}" for n, row in enumerate(rows, 1))
    ragged = "\n".join(f"{n} {row}" for n, row in enumerate(rows, 1))
    for text in (padded, ragged):
        assert repair(text, era=NOW).text.splitlines() == rows


def test_an_unfinished_comment_stays_readable() -> None:
    text = "# Limits the number of\nconnections and requests\n\n" + RULE + "spec:\n  host: a\n"
    done = repair(text, "f.yaml", era=NOW)
    assert done.text.startswith("# Limits the number of\n# connections and requests\n\napiVersion")
    assert done.changes[0].position.line == 2


def test_a_fragment_gets_its_object() -> None:
    text = block(
        """
        - match:
            - gateways: [gate]
          uri:
            prefix: /x
          route:
            - destination:
                host: edition.example.com
        """
    )
    resource = load_text(repair(text, era=NOW).text, era=NOW).resources[0]
    assert (resource.kind, resource.name) == ("VirtualService", "edition.example.com")
    assert resource.source.value("spec.gateways") == ["gate"]
    assert resource.source.value("spec.http[0].match[0].uri.prefix") == "/x"


def test_one_broken_document_does_not_hinder_the_next() -> None:
    text = "kind: virtualService\n  oops: [\n---\nkind: destinationrule\nmetadata:\n  name: a\nspec:\n  host: a\n"
    done = repair(text, era=NOW)
    assert "kind: DestinationRule" in done.text
    assert done.changes[0].position.line == 4


def test_line_ends_are_kept_and_the_diff_applies() -> None:
    text = (RULE + "spec:\n  hosts: [a]\n").replace("\n", "\r\n")
    done = repair(text, "f.yaml", era=NOW)
    assert done.text == (RULE + "spec:\n  host: a\n").replace("\n", "\r\n")
    assert "-  hosts: [a]" in done.diff()
    assert "+  host: a" in done.diff()


def test_what_is_ambiguous_is_left() -> None:
    taken = (
        HEAD
        + "spec:\n  hosts: [a]\n  http:\n  - timeout: 1s\n    route:\n    - destination: {host: a}\n      timeout: 2s\n"
    )
    assert "timeout: 2s" in repair(taken, era=NOW).text
    shared = (
        HEAD
        + "spec:\n  hosts: [a]\n  http:\n  - &x\n    route:\n    - destination:\n        host: a\n        weight: 1\n  - *x\n"
    )
    assert repair(shared, era=NOW).changes == []


def test_a_policy_of_1_0_becomes_a_peer_authentication() -> None:
    text = block(
        """
        apiVersion: "authentication.istio.io/v1alpha1"
        kind: "Policy"
        metadata:
          name: "default"
          namespace: "tutorial"
        spec:
          peers:
          - mtls: {}
        """
    )
    assert repair(text, era=era("istio-1.0")).changes == []
    for release, version in (("istio-1.9", "v1beta1"), ("istio-current", "v1")):
        resource = load_text(repair(text, era=era(release)).text, era=era(release)).resources[0]
        assert resource.api_version == f"security.istio.io/{version}"
        assert (resource.kind, resource.namespace) == ("PeerAuthentication", "tutorial")
        assert resource.source.value("spec") == {"mtls": {"mode": "STRICT"}}
    target = text.replace("peers:", "targets: [{name: customer}]\n  peers:").replace(
        "{}", "{mode: PERMISSIVE}"
    )
    source = load_text(repair(target, era=NOW).text, era=NOW).resources[0].source
    assert source.value("spec.selector.matchLabels") == {"app": "customer"}
    assert source.value("spec.mtls.mode") == "PERMISSIVE"
    tokens = text.replace("peers:", "origins: [{jwt: {issuer: a}}]\n  peers:")
    assert repair(tokens, era=NOW).changes == []


def test_a_huge_text_is_left_alone() -> None:
    text = "kind: virtualService\n" * 20_000
    assert repair(text, era=NOW).changes == []
