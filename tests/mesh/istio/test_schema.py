"""Fields: unknown, misplaced, of a wrong type; each with position, path, nearest and hint."""

import pytest

from mesh.istio import Problem, era, load_text

HEAD = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r}
spec:
  hosts: [r]
  http:
"""


def problems(body: str) -> list[Problem]:
    return load_text(HEAD + body, "f.yaml", era=era("istio-1.28")).problems


def only(body: str) -> Problem:
    found = problems(body)
    assert len(found) == 1, found
    return found[0]


def test_a_weight_inside_the_destination() -> None:
    problem = only("  - route:\n    - destination:\n        host: r\n        weight: 90\n")
    path = "spec.http[0].route[0].destination.weight"
    assert problem.message == f'Schema validation error: unknown field "{path}"'
    assert (problem.code, problem.path, problem.position.line, problem.position.column) == (
        "IST0106",
        path,
        10,
        9,
    )
    assert problem.nearest == "weight"
    assert problem.hint == "`weight` is a field of spec.http[0].route[0]: move it 1 level up."


def test_a_timeout_two_levels_too_deep() -> None:
    problem = only("  - route:\n    - destination:\n        host: r\n        timeout: 1s\n")
    assert problem.hint == "`timeout` is a field of spec.http[0]: move it 2 levels up."


def test_a_field_one_level_too_high() -> None:
    problem = only("  - route:\n    - destination: {host: r}\n      subset: v1\n")
    assert problem.hint == "`subset` is a field of `destination`: indent it below `destination:`."


@pytest.mark.parametrize(
    ("word", "nearest"), [("retrys", "retries"), ("Timeout", "timeout"), ("time_out", "timeout")]
)
def test_the_nearest_word(word: str, nearest: str) -> None:
    problem = only(f"  - route: [{{destination: {{host: r}}}}]\n    {word}: 1s\n")
    assert problem.nearest == nearest
    assert problem.hint == f"Did you mean `{nearest}`?"


@pytest.mark.parametrize(
    ("field", "said", "hint"),
    [
        ("timeout: 10", 'Invalid value: "10": expected a duration with a unit', ""),
        ("timeout: 10 s", "expected a duration such as 2s", ""),
        ("timeout: 99999999999h", "292 years", ""),
        ("match: {uri: {prefix: /}}", "must be of type array", "starts with `- `"),
        ("name: 1", "must be of type string", 'name: "1"'),
        ("retries: {attempts: three}", "must be of type integer", "in digits and without quotes"),
        ('retries: {attempts: "3"}', "must be of type integer", "a number, without quotes"),
        ("retries: {attempts: 3%}", "must be of type integer", "without the % sign"),
        ("retries: {attempts: 2.5}", "must be of type integer", "holds an integer"),
        ("retries: {attempts: 3000000000}", "less than or equal to 2147483647", ""),
        ("mirrorPercent: -1", "greater than or equal to 0", ""),
        ("retries: []", "must be of type object", "holds an object"),
        ("corsPolicy: {allowCredentials: 'true'}", "must be of type boolean", "true or false"),
    ],
)
def test_wrong_values(field: str, said: str, hint: str) -> None:
    problem = only(f"  - route: [{{destination: {{host: r}}}}]\n    {field}\n")
    assert said in problem.message
    assert hint in problem.hint
    assert problem.position.line == 8
    assert problem.expected


def test_a_word_that_is_not_in_the_list() -> None:
    text = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r}
spec:
  host: r
  trafficPolicy:
    loadBalancer:
      simple: round_robin
"""
    (problem,) = load_text(text, "f.yaml", era=era("istio-1.28")).problems
    assert 'Unsupported value: "round_robin": supported values: "UNSPECIFIED"' in problem.message
    assert (problem.nearest, problem.position.line) == ("ROUND_ROBIN", 8)


def test_a_missing_field() -> None:
    problem = only("  - route:\n    - weight: 100\n")
    assert "spec.http[0].route[0].destination: Required value" in problem.message
    assert problem.position.line == 8
    assert problem.read == ""


def test_labels_with_dots_have_their_path() -> None:
    problem = only(
        "  - match: [{headers: {x.y: {exct: a}}}]\n    route: [{destination: {host: r}}]\n"
    )
    assert problem.path == 'spec.http[0].match[0].headers["x.y"].exct'
    assert problem.nearest == "exact"


def test_many_problems_are_cut() -> None:
    body = "".join(f"    x{n}: 1\n" for n in range(200))
    found = problems("  - name: a\n" + body)
    assert len(found) == 51
    assert "150 further problems are not shown" in found[-1].message
