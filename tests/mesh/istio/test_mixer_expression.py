import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.istio.mixer_expression import (
    AbsentError,
    ExpressionError,
    attributes_of,
    evaluate,
    parse,
)

ATTRIBUTES = {
    "source.labels": {"app": "customer", "version": "v1"},
    "destination.service": "preference.tutorial.svc.cluster.local",
    "request.headers": {"x-user": "Ada"},
    "request.size": 7,
    "connection.mtls": True,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('source.labels["app"] == "customer"', True),
        ('source.labels["app"]=="customer" && source.labels["version"] == "v2"', False),
        ('source.labels["version"] == "v2" || connection.mtls', True),
        ("!connection.mtls", False),
        ('request.headers["none"] | "nobody"', "nobody"),
        ('request.headers["x-user"] | "nobody"', "Ada"),
        ('request.headers["none"] | request.headers["also"] | "n" == "n"', True),  # | before ==
        ('match(destination.service, "preference.*")', True),
        ('match(destination.service, "*.local")', True),
        ('match(destination.service, "x*")', False),
        ('destination.service.startsWith("pref")', True),
        ('destination.service.endsWith("x")', False),
        ('"^pref.*local$".matches(destination.service)', True),
        ('conditional(request.size > 5, "big", "small")', "big"),
        ("request.size >= 7 && request.size < 8", True),
        ('"a" + "b" == "ab"', True),
        ("-1 < 0", True),
        ('toLower("ABC")', "abc"),
        ("emptyStringMap()", {}),
        ("(false || true) && \"x\" != 'y'", True),
        ('1 == "1"', False),
        ("`a\\b`", "a\\b"),
        ('"a\\"b"', 'a"b'),
    ],
)
def test_values(text: str, value: object) -> None:
    assert evaluate(parse(text), ATTRIBUTES) == value


@pytest.mark.parametrize(
    "text",
    ["nothing.here", 'source.labels["x"] == "y"', '"(".matches("a")', 'request.size > "a"', "!7"],
)
def test_what_is_absent_makes_the_whole_absent(text: str) -> None:
    with pytest.raises(AbsentError):
        evaluate(parse(text), ATTRIBUTES)


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        ("", 0, "ends too early"),
        ('source.labels["app" == "x"', 26, "']' is expected"),
        ('a == "b', 5, "cannot stand here"),
        ("a = b", 2, "cannot stand here"),
        ("a b", 2, "cannot stand here"),
        ("a and b", 2, "'and' cannot stand here, write &&"),
        ("a OR b", 2, "'OR' cannot stand here, write ||"),
        ("nope(1)", 0, "no function 'nope'"),
        ('match("a")', 0, "takes 2 arguments"),
        ("a &&", 4, "ends too early"),
        ("(" * 60 + "a" + ")" * 60, 51, "too deeply"),
    ],
)
def test_mistakes_have_a_place(text: str, offset: int, words: str) -> None:
    with pytest.raises(ExpressionError, match=words.replace("(", r"\(")) as error:
        parse(text)
    assert error.value.offset == offset


@given(st.text(alphabet="ab.\"[]()|&=!<>+-,1 \\`'\n", max_size=30))
def test_whatever_is_written_is_parsed_or_refused_in_its_bounds(text: str) -> None:
    try:
        node = parse(text)
    except ExpressionError as error:
        assert 0 <= error.offset <= len(text)
        return
    assert all(attributes_of(node))
    with contextlib.suppress(AbsentError):
        evaluate(node, {"a": "a", "b": {"a": "b"}})


@given(
    st.recursive(
        st.sampled_from(["true", "false"]),
        lambda inner: (
            st.tuples(inner, st.sampled_from(["&&", "||", "=="]), inner).map(
                lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
            )
            | inner.map(lambda text: f"!{text}")
        ),
        max_leaves=8,
    )
)
def test_booleans_mean_what_they_mean_in_python(text: str) -> None:
    python = text.replace("&&", " and ").replace("||", " or ").replace("!", " not ")
    python = python.replace("true", "True").replace("false", "False")
    if "not" in python and "==" in python:
        return  # Python binds `not` more weakly than ==
    assert evaluate(parse(text), {}) == eval(python)
