"""What every Istio model shares: names, durations, numbers.

Istio's resources are protobuf messages; the YAML is their JSON form.  So attributes are
snake_case with the camelCase alias, both are accepted (protobuf's JSON mapping), ``null`` means
"not set", unknown fields are refused as Istio's strict reader does, and no value is converted: a
number is no string.  Source: https://protobuf.dev/programming-guides/json/ and istio/api.
"""

from __future__ import annotations

import re
import types
from datetime import timedelta
from fractions import Fraction
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo

DURATION = r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*$"
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_MICROSECONDS = {
    "ns": Fraction(1, 1000),
    "us": Fraction(1),
    "µs": Fraction(1),
    "ms": Fraction(1000),
    "s": Fraction(1_000_000),
    "m": Fraction(60_000_000),
    "h": Fraction(3_600_000_000),
}


def camel(name: str) -> str:
    """Return protobuf's JSON name of a field: ``consecutive_5xx_errors``: consecutive5xxErrors."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def parse_duration(text: str) -> timedelta:
    """Read Go's syntax of a duration (``1.000s``, ``1h3m``, ``100ms``); ValueError otherwise.

    Source: Go's ``time.ParseDuration``, which Istio's reader of durations calls.
    """
    if text in ("0", "+0", "-0"):
        return timedelta(0)
    if len(text) > 64 or not re.match(DURATION, text):
        raise ValueError("expected a duration such as 2s, 1.500s, 100ms or 1h3m")
    total = sum(
        (Fraction(n.rstrip(".")) * _MICROSECONDS[u] for n, u in _PART.findall(text)), Fraction(0)
    )
    if total > 2**63 // 1000:
        raise ValueError("expected a duration of less than 292 years")
    whole = int(total)
    if total != whole and whole % 1000 == 0:
        whole += 1  # what is finer than a microsecond never passes for whole milliseconds
    return timedelta(microseconds=-whole if text.startswith("-") else whole)


def format_duration(value: timedelta) -> str:
    """Write a duration as protobuf does: ``1.500s``."""
    microseconds = round(value.total_seconds() * 1_000_000)
    sign = "-" if microseconds < 0 else ""
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    if not rest:
        return f"{sign}{seconds}s"
    digits = f"{rest // 1000:03d}" if rest % 1000 == 0 else f"{rest:06d}"
    return f"{sign}{seconds}.{digits}s"


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError("expected a duration with a unit, such as 2s, 100ms or 1h3m")
    return parse_duration(value)


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION, "examples": ["2s", "100ms"]}),
]
Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
UInt32 = Annotated[int, Field(ge=0, le=2**32 - 1)]
UInt64 = Annotated[int, Field(ge=0, le=2**64 - 1)]
StringMap = dict[str, str]
Struct = dict[str, Any]


class Model(BaseModel):
    """A protobuf message of Istio in its JSON form."""

    model_config = ConfigDict(
        extra="forbid",
        alias_generator=camel,
        populate_by_name=True,
        frozen=True,
        strict=True,
        use_attribute_docstrings=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_set(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            return {key: value for key, value in data.items() if value is not None}
        return data

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set, under Istio's names."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class KubernetesModel(Model):
    """A Kubernetes object: what the kit does not read is accepted and left alone."""

    model_config = ConfigDict(extra="ignore")


def known_until(release: tuple[int, int], alias: str | None = None) -> Any:
    """Return a field that releases after ``release`` do not know any more."""
    return Field(
        default=None, alias=alias, json_schema_extra={"x-known-until": f"{release[0]}.{release[1]}"}
    )


@cache
def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the name that stands in YAML."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _unwrap(annotation: Any) -> Any:
    """Take the container off an annotation: ``list[X] | None`` -> X, ``dict[str, X]`` -> X."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        inner = [each for each in get_args(annotation) if each is not type(None)]
        return _unwrap(inner[0])
    if origin is Annotated:
        return _unwrap(get_args(annotation)[0])
    if origin is list:
        return _unwrap(get_args(annotation)[0])
    if origin is dict:
        return _unwrap(get_args(annotation)[1])
    return annotation


def child_model(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model that a field holds, alone, in a list or in a map."""
    inner = _unwrap(field.annotation)
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def words_of(field: FieldInfo) -> tuple[str, ...]:
    """Return the words that an enumeration allows, nothing for any other field."""
    inner = _unwrap(field.annotation)
    return tuple(map(str, get_args(inner))) if get_origin(inner) is Literal else ()


def is_map(field: FieldInfo) -> bool:
    """True when the field is a map, so that the next step of a path is a key of it."""
    return _container(field.annotation) is dict


def _container(annotation: Any) -> Any:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        inner = [each for each in get_args(annotation) if each is not type(None)]
        return _container(inner[0])
    if origin is Annotated:
        return _container(get_args(annotation)[0])
    return origin


class LabelSelector(Model):
    """``selector.matchLabels``: the pods a resource is for."""

    match_labels: StringMap | None = None


class WorkloadSelector(Model):
    """``workloadSelector.labels``: the pods a Sidecar, ServiceEntry or EnvoyFilter is for."""

    labels: StringMap | None = None


class PortSelector(Model):
    """``port.number``; 1.0 had ``port.name`` as well."""

    number: UInt32 | None = None
    name: str | None = known_until((1, 0))


class TargetRef(Model):
    """The Gateway or Service that a policy attaches to (Gateway API)."""

    group: str | None = None
    kind: str
    name: str
    namespace: str | None = None


class StringMatch(Model):
    """One of exact, prefix, regex (RE2, the whole value); empty: the value is there."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None
