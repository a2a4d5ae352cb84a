"""No document, however broken, ends in a traceback; every problem has a place and a text.

Documents are drawn from the models themselves, then cut, moved, mistyped, blown up and spoiled.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from mesh.istio import ERAS, Loaded, era, load_text, validate
from mesh.istio.kinds import KINDS, Kind
from mesh.istio.models.base import child_model, fields_of, is_map, words_of

QUICK = settings(max_examples=60, suppress_health_check=list(HealthCheck))

WORDS = st.sampled_from(
    ["r", "v1", "10s", "1.5h", "0s", "*", "*.x", "a/b", "", "/", "5xx,reset", "(", "[a-z]+", "80"]
)
STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**63, max_value=10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


def values(draw: st.DrawFn, model: type[BaseModel], depth: int) -> dict[str, Any]:
    """Draw an object of a model: some of its fields, most of the right type."""
    fields = fields_of(model)
    data: dict[str, Any] = {}
    for name in (
        draw(st.lists(st.sampled_from(sorted(fields)), max_size=5, unique=True)) if fields else []
    ):
        field = fields[name]
        below = child_model(field)
        if draw(st.integers(0, 9)) == 0 or depth == 0:
            data[name] = draw(STRANGE)
            continue
        if below is not None:
            item: Any = values(draw, below, depth - 1)
        elif words_of(field):
            item = draw(st.sampled_from(words_of(field)))
        else:
            item = draw(st.one_of(WORDS, st.integers(-1, 100), st.booleans()))
        if is_map(field):
            item = {draw(WORDS): item}
        elif "list[" in str(field.annotation):
            item = [item] * draw(st.integers(0, 2))
        data[name] = item
    return data


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an object of any kind, with a name that may be wrong."""
    kind: Kind = draw(st.sampled_from(KINDS))
    version = draw(st.sampled_from(kind.versions))
    spec = values(draw, kind.model, 6)
    data = {
        "apiVersion": f"{kind.group}/{version}" if kind.group else version,
        "kind": kind.name,
        "metadata": {"name": draw(st.sampled_from(["r", "default", "Bad_Name", ""]))},
    }
    return data | (spec if kind.whole else {"spec": spec})


def look(text: str | bytes) -> Loaded:
    """Load and validate in every era; check what holds for every problem."""
    lines = text.count(b"\n" if isinstance(text, bytes) else "\n") + text.count(
        b"\r" if isinstance(text, bytes) else "\r"
    )
    loaded = Loaded()
    for name in ERAS:
        which = era(name)
        loaded = load_text(text, "f.yaml", era=which)
        for problem in [*loaded.problems, *validate(loaded.resources, which)]:
            assert problem.message
            assert "\n" not in problem.message
            assert problem.position.file == "f.yaml"
            assert 0 < problem.position.line <= lines + 2
            assert problem.position.column > 0
            assert json.loads(json.dumps(problem.as_dict()))["code"] == problem.code
        for resource in loaded.resources:
            assert resource.spec.model_dump_json(by_alias=True, exclude_unset=True)
            assert resource.position().line > 0
    return loaded


@QUICK
@given(objects())
def test_objects_drawn_from_the_models(data: dict[str, Any]) -> None:
    look(yaml.safe_dump(data, allow_unicode=True))
    look(json.dumps(data))


@QUICK
@given(st.lists(objects(), min_size=1, max_size=3), st.data())
def test_cut_texts(items: list[dict[str, Any]], data: st.DataObject) -> None:
    text = yaml.safe_dump_all(items)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    look(text[:start] + text[end:])


@QUICK
@given(objects(), st.data())
def test_lines_moved_and_indented(item: dict[str, Any], data: st.DataObject) -> None:
    lines = yaml.safe_dump(item).splitlines()
    line = lines.pop(data.draw(st.integers(0, len(lines) - 1)))
    place = data.draw(st.integers(0, len(lines)))
    lines.insert(place, data.draw(st.sampled_from(["", " ", "    ", "\t", "- "])) + line)
    look("\n".join(lines))


@QUICK
@given(objects(), STRANGE, st.data())
def test_wrong_types_anywhere(item: dict[str, Any], strange: Any, data: st.DataObject) -> None:
    place: Any = item
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = strange
    look(json.dumps(item))


@QUICK
@given(objects(), st.binary(min_size=1, max_size=4), st.data())
def test_bytes_in_the_middle(item: dict[str, Any], junk: bytes, data: st.DataObject) -> None:
    raw = yaml.safe_dump(item).encode()
    place = data.draw(st.integers(0, len(raw)))
    look(raw[:place] + junk + raw[place:])


@QUICK
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    look(text)


HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r}\nspec:\n  hosts: "


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (HEAD + "[" * 5000, "KIT0002"),
        (HEAD + "{a: " * 5000, "KIT0002"),
        ("".join("  " * n + "a:\n" for n in range(700)), "KIT0002"),
        (HEAD + "\n".join(" " * n + "- " for n in range(2, 500)), "KIT0001"),
        (HEAD + " " * 990_000, ""),
        (HEAD + " " * 10_000_000, "KIT0002"),
        (HEAD + "\n" * 990_000 + "  - a\n", ""),
        (HEAD + "[" + "a," * 490_000 + "a]", "KIT0002"),
        (HEAD + "'" + "x" * 990_000 + "'", "IST0106"),
        (HEAD + "9" * 900_000, "KIT0001"),
        (HEAD + "r\n" + "".join(f"  x{n}: 1\n" for n in range(50_000)), "KIT0002"),
        (HEAD + "r\n  http:\n" + "".join(f"  - x{n}: 1\n" for n in range(25_000)), "IST0106"),
        ("---\n- 1\n" * 100_000, "KIT0002"),
        ("kind: VirtualService\n---\n" * 30_000, "KIT0002"),
        ("? " * 300_000, "KIT0001"),
        ("&a " * 1000, "KIT0001"),
        ("\x00" * 1000, "KIT0003"),
        ("!" * 1000, "KIT0001"),
        ("x" * 990_000, "KIT0004"),
        ("kind: " + "x" * 900_000 + "\napiVersion: v1\n", "KIT0004"),
        ("'" + "\n" * 500_000, "KIT0001"),
        ("a: " * 200_000, "KIT0001"),
        ("a:\n" * 200_000, "KIT0002"),
    ],
    ids=lambda value: str(value)[:0] or None,
)
def test_texts_that_are_too_much(text: str, code: str) -> None:
    loaded = look(text)
    if code:
        assert code in {problem.code for problem in loaded.problems}


def test_a_bomb_of_aliases_in_a_resource() -> None:
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert {problem.code for problem in look("\n".join(lines)).problems} == {"KIT0002"}
