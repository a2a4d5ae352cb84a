"""What is written is read back as it was, by go-yaml's rules and by YAML 1.1's."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mesh.istio.scalars import resolve
from mesh.istio.written import dump, dump_all, read_all

WORDS = ["12e4", "1234e567890123456", "0x1f", "010", "0o17", "1_000", "yes", "off", "~", "", ".inf"]


@pytest.mark.parametrize("word", [*WORDS, "12:30", "2026-11-30", "v1", "a: b", "two\nlines", "é"])
def test_a_text_stays_a_text(word: str) -> None:
    text = dump_all([{"value": word}])
    assert yaml.safe_load(text) == {"value": word}
    node = yaml.compose(text, Loader=yaml.SafeLoader).value[0][1]
    assert resolve(node.value, node.style, None) == word


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=12))
def test_any_text_stays_a_text(word: str) -> None:
    node = yaml.compose(dump_all([{"value": word}]), Loader=yaml.SafeLoader).value[0][1]
    assert resolve(node.value, node.style, None) == word


def test_numbers_and_words_are_written_as_they_were() -> None:
    assert dump_all([{"port": 80, "host": "reviews", "on": True}]) == (
        "port: 80\nhost: reviews\n'on': true\n"
    )


def test_what_stands_in_two_places_is_written_twice() -> None:
    shared = {"percent": 50}
    assert dump({"a": shared, "b": shared}) == "a:\n  percent: 50\nb:\n  percent: 50\n"


def test_what_is_read_is_what_kubernetes_reads() -> None:
    text = "on: 12e4\ntext: '12e4'\n---\n# nothing\n---\n{broken\n---\nat: 12:30\n"
    found = read_all(text)
    assert found == [{"on": 120000.0, "text": "12e4"}, {"at": "12:30"}]
    assert read_all(dump_all(found)) == found
