"""Unquoted words, as Kubernetes reads them."""

import pytest

from mesh.istio.scalars import BadScalarError, resolve


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("yes", True),
        ("off", False),
        ("y", "y"),
        ("~", None),
        ("", None),
        ("12:30", "12:30"),
        ("2018-10-11", "2018-10-11"),
        ("0x1F", 31),
        ("010", 8),
        ("0o10", 8),
        ("0b101", 5),
        ("-1_000", -1000),
        ("08", 8.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.000s", "1.000s"),
        ("v1", "v1"),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", float(2**64)),
        ("1.2.3", "1.2.3"),
    ],
)
def test_plain_words(word: str, value: object) -> None:
    read = resolve(word, None, None)
    assert read == value
    assert type(read) is type(value)


def test_quotation_marks_and_tags_make_strings() -> None:
    assert resolve("on", '"', None) == "on"
    assert resolve("1", None, "tag:yaml.org,2002:str") == "1"
    assert resolve("1", "'", "!") == "1"


@pytest.mark.parametrize("word", ["9" * 5000, "1e999", ".inf", "-.NaN"])
def test_numbers_that_json_cannot_hold(word: str) -> None:
    with pytest.raises(BadScalarError):
        resolve(word, None, None)


def test_foreign_tags() -> None:
    with pytest.raises(BadScalarError, match="not allowed"):
        resolve("os.system", None, "tag:yaml.org,2002:python/name:os.system")
