"""A document against the model of its kind: every field that is wrong, with its line.

The texts are those a student meets in a real cluster: ``unknown field "spec.htp"`` of strict
decoding (istioctl validate, kubectl), ``Required value``, ``Unsupported value`` and ``must be of
type`` of the API server (https://github.com/kubernetes/apimachinery
``pkg/util/validation/field/errors.go``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mesh.istio.eras import Era
from mesh.istio.models.base import child_model, fields_of, is_map
from mesh.istio.nearest import MAX_WORD, nearest
from mesh.istio.problem import Level, Problem, Room
from mesh.istio.resource import Source, Step, format_path, show

SCHEMA = "IST0106"
WARNING = "IST0133"
MAX_PROBLEMS = 50

_TYPES = {
    "string_type": "string",
    "int_type": "integer",
    "int_from_float": "integer",
    "float_type": "number",
    "bool_type": "boolean",
    "list_type": "array",
    "dict_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
}


def schema_error(text: str) -> str:
    """Return a text as IST0106 says it."""
    return f"Schema validation error: {text}"


def schema_warning(text: str) -> str:
    """Return a text as IST0133 says it."""
    return f"Schema validation warning: {text}"


def check[M: BaseModel](
    model: type[M],
    data: object,
    source: Source,
    base: tuple[Step, ...],
    resource: str,
    room: Room | None = None,
) -> tuple[M | None, list[Problem]]:
    """Read ``data`` (at path ``base`` of the source) into a model, or say all that is wrong.

    ``room`` is what is left for problems of the file; what is over it is counted there.
    """
    room = room or Room()
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        count = error.error_count()
        told = room.take(min(count, MAX_PROBLEMS))
        details = error.errors(include_url=False, include_context=True)[:told] if told else []
    problems = [_problem(model, detail, source, base, resource) for detail in details]
    if count > MAX_PROBLEMS and room.take(1):
        text = f"{count - MAX_PROBLEMS} further problems are not shown"
        place = source.position(base)
        problems.append(Problem(SCHEMA, Level.ERROR, schema_error(text), place, resource=resource))
    return None, problems


def _problem(
    model: type[BaseModel],
    detail: ErrorDetails,
    source: Source,
    base: tuple[Step, ...],
    resource: str,
) -> Problem:
    loc = tuple(step for step in detail["loc"] if step != "[key]")
    path = format_path((*base, *loc))
    kind = detail["type"]
    expected = near = hint = ""
    read = show(detail["input"])
    if kind == "extra_forbidden":
        text = f'unknown field "{path}"'
        expected, near, hint = _about_unknown(model, base, loc)
        read = str(loc[-1])
    elif kind == "missing":
        text, read = f"{path}: Required value", ""
        hint = f"Add `{loc[-1]}:` to {format_path((*base, *loc[:-1]))}."
    elif kind == "literal_error":
        words = _words(str(detail.get("ctx", {}).get("expected", "")))
        supported = ", ".join(f'"{word}"' for word in words)
        text = f'{path}: Unsupported value: "{read}": supported values: {supported}'
        expected, near = " | ".join(words), _nearest(read, words)
        hint = f"Did you mean {near}?" if near else f"Write one of {', '.join(words)}."
    elif kind in _TYPES:
        expected, got = _TYPES[kind], _type_name(detail["input"])
        text = f'{path}: Invalid value: "{got}": {path} in body must be of type {expected}: "{got}"'
        hint = _about_type(expected, detail["input"], str(loc[-1]) if loc else path)
    elif kind == "value_error":
        expected = str(detail.get("ctx", {}).get("error", detail["msg"]))
        text = f'{path}: Invalid value: "{read}": {expected}'
    else:
        expected = detail["msg"].removeprefix("Input ")
        text = f'{path}: Invalid value: "{read}": {path} in body {expected}'
    return Problem(
        code=SCHEMA,
        level=Level.ERROR,
        message=schema_error(text),
        position=source.position((*base, *loc)),
        path=path,
        read=read,
        expected=expected,
        nearest=near,
        hint=hint,
        resource=resource,
    )


def _words(text: str) -> list[str]:
    """Take the words out of pydantic's "'A', 'B' or 'C'"."""
    return text.split("'")[1::2]


def _nearest(word: str, words: Sequence[str]) -> str:
    if len(word) > MAX_WORD:
        return ""
    folded = {each.lower().replace("_", ""): each for each in words}
    return folded.get(nearest(word.lower().replace("_", ""), folded, cutoff=0.65), "")


def _type_name(value: object) -> str:
    names: tuple[tuple[type, str], ...] = (
        (bool, "boolean"),
        (str, "string"),
        (int, "integer"),
        (float, "number"),
        (list, "array"),
        (dict, "object"),
    )
    return next((name for each, name in names if isinstance(value, each)), "null")


def _about_type(expected: str, value: object, field: str) -> str:
    if expected == "string" and not isinstance(value, (list, dict)):
        return f'Put it in quotation marks: {field}: "{show(value)}".'
    if expected == "array":
        return f"{field} is a list: write each item on a line that starts with `- `."
    if expected == "boolean" and isinstance(value, str):
        return f"{field} is true or false, without quotes."
    if expected in ("integer", "number") and isinstance(value, str):
        return f"{field} is a number, {_too_much(value)}."
    return f"{field} holds an {expected}." if expected[0] in "aio" else f"{field}: {expected}."


def _too_much(value: str) -> str:
    """Say what keeps ``value`` from being a number."""
    if value.rstrip().endswith("%"):
        return "without the % sign"
    return "in digits and without quotes" if value.isalpha() else "without quotes"


def _about_unknown(
    model: type[BaseModel], base: tuple[Step, ...], loc: Sequence[Step]
) -> tuple[str, str, str]:
    """Return (expected, nearest, hint) for an unknown field: a wrong place or a wrong word."""
    name = str(loc[-1])
    owners = list(_owners(model, loc[:-1]))
    _, owner = owners[-1]
    words = list(fields_of(owner))
    expected = ", ".join(words)
    for depth, above in reversed(owners[:-1]):
        if name in fields_of(above):
            levels = len([step for step in loc[:-1] if isinstance(step, str)]) - len(
                [step for step in loc[:depth] if isinstance(step, str)]
            )
            place = format_path((*base, *loc[:depth]))
            up = f"{levels} level{'s' if levels > 1 else ''} up"
            return expected, name, f"`{name}` is a field of {place}: move it {up}."
    for word, field in fields_of(owner).items():
        below = child_model(field)
        if below is not None and name in fields_of(below) and not is_map(field):
            return expected, name, f"`{name}` is a field of `{word}`: indent it below `{word}:`."
    near = _nearest(name, words)
    if near:
        return expected, near, f"Did you mean `{near}`?"
    place = format_path((*base, *loc[:-1]))
    return expected, "", f"{place} knows: {expected}."


def _owners(model: type[BaseModel], loc: Sequence[Step]) -> Iterator[tuple[int, type[BaseModel]]]:
    """Walk a path down the models: (number of steps, the model that holds the next step)."""
    yield 0, model
    owner, in_map = model, False
    for depth, step in enumerate(loc, 1):
        if isinstance(step, int):
            yield depth, owner
            continue
        if in_map:
            in_map = False
            yield depth, owner
            continue
        found = fields_of(owner).get(step) or owner.model_fields.get(step)
        below = child_model(found) if found is not None else None
        if found is None or below is None:
            return
        owner, in_map = below, is_map(found)
        if not in_map:
            yield depth, owner


def removed_fields(
    spec: BaseModel, source: Source, base: tuple[Step, ...], era: Era, resource: str
) -> list[Problem]:
    """Say which fields the release of the era does not know any more."""
    problems = []
    for steps, release in _dated(spec, base):
        if era.release > release:
            path = format_path(steps)
            problems.append(
                Problem(
                    code=SCHEMA,
                    level=Level.ERROR,
                    message=schema_error(f'unknown field "{path}"'),
                    position=source.position(steps),
                    path=path,
                    read=str(steps[-1]),
                    hint=f"Istio knew this field until {release[0]}.{release[1]}; {era} does not.",
                    resource=resource,
                )
            )
    return problems


def _dated(
    value: Any, steps: tuple[Step, ...]
) -> Iterator[tuple[tuple[Step, ...], tuple[int, int]]]:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        for name in sorted(value.model_fields_set & fields.keys()):
            here = (*steps, fields[name].alias or name)
            extra = fields[name].json_schema_extra
            until = extra.get("x-known-until") if isinstance(extra, dict) else None
            if isinstance(until, str):
                major, minor = until.split(".")
                yield here, (int(major), int(minor))
            yield from _dated(getattr(value, name), here)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _dated(item, (*steps, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, BaseModel):
                yield from _dated(item, (*steps, key))
