r"""Mixer's expression language: ``match`` of a rule, and the values of instances.

    source.labels["app"] == "customer" && !(request.path | "/").startsWith("/health")

Attributes with dots, ``["key"]`` of maps, literals, ``== != < <= > >= && || !``, ``|`` (the right
side where the left is absent), ``+`` (joins texts) and functions: ``match(text, "pre*")``,
``conditional(test, a, b)``, ``toLower``, ``size``, ``emptyStringMap()``, and as methods
``startsWith``, ``endsWith``, ``"regex".matches(text)``.  Precedence is Go's.  An absent attribute
makes the whole expression absent, unless ``|`` or ``==``'s other rules catch it.
Source: Istio 1.4, "Expression language" (reference/config/policy-and-telemetry).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import re2

MAX_LENGTH = 4_096
MAX_DEPTH = 50
_TOKEN = re.compile(
    r'\s+|(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`|\'(?:[^\'\\\n]|\\.)*\')'
    r"|(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign>==|!=|<=|>=|&&|\|\||[|<>+!().,\[\]\-])"
)
_BINARY = (
    ("||",),
    ("&&",),
    ("==", "!=", "<", "<=", ">", ">="),
    ("|", "+"),
)
"""Operators, weakest first."""
FUNCTIONS = {
    "match": 2,
    "conditional": 3,
    "toLower": 1,
    "size": 1,
    "emptyStringMap": 0,
    "ip": 1,
    "dnsName": 1,
    "email": 1,
    "uri": 1,
}
METHODS = ("startsWith", "endsWith", "matches")


class ExpressionError(ValueError):
    """The text is no expression; ``offset`` is where, in characters."""

    def __init__(self, text: str, offset: int) -> None:
        super().__init__(text)
        self.offset = offset


class AbsentError(Exception):
    """An attribute that the expression needs is not there, or has another type."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, a number, true or false."""

    value: Any


@dataclass(frozen=True, slots=True)
class Attribute:
    """``source.name``."""

    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """``request.headers["x"]``."""

    base: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A function; a method has its target as the first argument."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator with its sides; ``!`` has one."""

    sign: str
    sides: tuple[Node, ...]


Node = Literal | Attribute | Index | Call | Operation


@dataclass(slots=True)
class _Parser:
    tokens: list[tuple[str, str, int]]
    end: int
    at: int = 0

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def offset(self) -> int:
        return self.tokens[self.at][2] if self.at < len(self.tokens) else self.end

    def take(self) -> tuple[str, str, int]:
        if self.at >= len(self.tokens):
            raise ExpressionError("the expression ends too early", self.end)
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, sign: str) -> None:
        offset = self.offset()
        if self.peek() != sign:
            raise ExpressionError(f"{sign!r} is expected, not {self.peek() or 'the end'!r}", offset)
        self.at += 1

    def binary(self, level: int, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ExpressionError("the expression is nested too deeply", self.offset())
        if level == len(_BINARY):
            return self.unary(depth)
        node = self.binary(level + 1, depth)
        while self.peek() in _BINARY[level] and self.tokens[self.at][0] == "sign":
            sign = self.take()[1]
            node = Operation(sign, (node, self.binary(level + 1, depth)))
        return node

    def unary(self, depth: int) -> Node:
        if self.peek() in ("!", "-") and self.tokens[self.at][0] == "sign":
            sign = self.take()[1]
            if depth > MAX_DEPTH:
                raise ExpressionError("the expression is nested too deeply", self.offset())
            return Operation(sign, (self.unary(depth + 1),))
        return self.postfix(self.primary(depth), depth)

    def primary(self, depth: int) -> Node:
        kind, text, offset = self.take()
        if kind == "text":
            return Literal(_unquote(text, offset))
        if kind == "number":
            return Literal(float(text) if "." in text else int(text))
        if text == "(":
            node = self.binary(0, depth + 1)
            self.expect(")")
            return node
        if kind != "name":
            raise ExpressionError(f"{text!r} cannot stand here", offset)
        if text in ("true", "false"):
            return Literal(text == "true")
        if self.peek() == "(":
            return self.call(text, (), depth, offset)
        return Attribute(text)

    def postfix(self, node: Node, depth: int) -> Node:
        while self.peek() in (".", "[") and self.tokens[self.at][0] == "sign":
            if self.take()[1] == "[":
                key = self.binary(0, depth + 1)
                self.expect("]")
                node = Index(node, key)
                continue
            kind, name, offset = self.take()
            if kind != "name":
                raise ExpressionError(f"a name is expected after the dot, not {name!r}", offset)
            if self.peek() == "(":
                node = self.call(name, (node,), depth, offset)
            elif isinstance(node, Attribute):
                node = Attribute(f"{node.name}.{name}")
            else:
                raise ExpressionError(f"only attributes have dots: {name!r}", offset)
        return node

    def call(self, name: str, target: tuple[Node, ...], depth: int, offset: int) -> Node:
        self.expect("(")
        arguments = list(target)
        while self.peek() != ")":
            arguments.append(self.binary(0, depth + 1))
            if self.peek() != ",":
                break
            self.take()
        self.expect(")")
        wanted = 2 if target and name in METHODS else FUNCTIONS.get(name) if not target else None
        if wanted is None:
            known = ", ".join((*FUNCTIONS, *(f".{each}" for each in METHODS)))
            raise ExpressionError(f"no function {name!r}: there are {known}", offset)
        if len(arguments) != wanted:
            raise ExpressionError(f"{name} takes {wanted - len(target)} arguments", offset)
        return Call(name, tuple(arguments))


def parse(text: str) -> Node:
    """Parse an expression; ExpressionError says what is wrong and where."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters", MAX_LENGTH)
    tokens: list[tuple[str, str, int]] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ExpressionError(f"{text[at]!r} cannot stand here", at)
        if found.lastgroup is not None:
            tokens.append((found.lastgroup, found[0], at))
        at = found.end()
    parser = _Parser(tokens, len(text))
    node = parser.binary(0, 0)
    if parser.at < len(tokens):
        word = parser.peek()
        meant = {"and": ", write &&", "or": ", write ||"}.get(str(word).lower(), "")
        raise ExpressionError(f"{word!r} cannot stand here{meant}", parser.offset())
    return node


def _unquote(text: str, offset: int) -> str:
    if text[0] == "`":
        return text[1:-1]
    inner = text[1:-1].replace('"', '\\"').replace("\\'", "'") if text[0] == "'" else text[1:-1]
    try:
        return str(json.loads(f'"{inner}"', strict=False))
    except ValueError:
        raise ExpressionError(f"{text} is no text: a wrong backslash", offset) from None


def attributes_of(node: Node) -> set[str]:
    """Return the names of all attributes that an expression reads."""
    match node:
        case Attribute(name):
            return {name}
        case Index(base, key):
            return attributes_of(base) | attributes_of(key)
        case Call(_, arguments):
            return set().union(*(attributes_of(each) for each in arguments))
        case Operation(_, sides):
            return set().union(*(attributes_of(each) for each in sides))
    return set()


def evaluate(node: Node, attributes: Mapping[str, Any]) -> Any:
    """Return the value of an expression; AbsentError when an attribute is missing."""
    match node:
        case Literal(value):
            return value
        case Attribute(name):
            if attributes.get(name) is None:
                raise AbsentError(name)
            return attributes[name]
        case Index(base, key):
            whole, name = evaluate(base, attributes), evaluate(key, attributes)
            if not isinstance(whole, Mapping) or whole.get(name) is None:
                raise AbsentError(f"[{name!r}]")
            return whole[name]
        case Call(name, arguments):
            return _call(name, arguments, attributes)
        case Operation(sign, sides):
            return _operate(sign, sides, attributes)


def _operate(sign: str, sides: tuple[Node, ...], attributes: Mapping[str, Any]) -> Any:
    if sign == "|":
        try:
            return evaluate(sides[0], attributes)
        except AbsentError:
            return evaluate(sides[1], attributes)
    left = evaluate(sides[0], attributes)
    if sign == "!":
        return not _typed(left, bool)
    if sign == "-":
        return -_typed(left, int, float)
    if sign in ("&&", "||"):
        if _typed(left, bool) is (sign == "||"):
            return left
        return _typed(evaluate(sides[1], attributes), bool)
    right = evaluate(sides[1], attributes)
    if sign == "==":
        return _equal(left, right)
    if sign == "!=":
        return not _equal(left, right)
    if type(left) is not type(right) or isinstance(left, (bool, Mapping)):
        raise AbsentError(f"{sign} of different types")
    if sign == "+":
        return left + right
    compare: dict[str, Callable[[Any, Any], bool]] = {
        "<": lambda a, b: bool(a < b),
        "<=": lambda a, b: bool(a <= b),
        ">": lambda a, b: bool(a > b),
        ">=": lambda a, b: bool(a >= b),
    }
    return compare[sign](left, right)


def _equal(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _typed(value: Any, *types: type) -> Any:
    if type(value) not in types:
        raise AbsentError(f"{value!r} has the wrong type")
    return value


def _call(name: str, nodes: tuple[Node, ...], attributes: Mapping[str, Any]) -> Any:
    if name == "conditional":
        chosen = nodes[1] if _typed(evaluate(nodes[0], attributes), bool) else nodes[2]
        return evaluate(chosen, attributes)
    if name == "emptyStringMap":
        return {}
    values = [_typed(evaluate(each, attributes), str) for each in nodes]
    match name:
        case "toLower":
            return values[0].lower()
        case "size":
            return len(values[0])
        case "startsWith":
            return values[0].startswith(values[1])
        case "endsWith":
            return values[0].endswith(values[1])
        case "match":
            return _glob(values[0], values[1])
        case "matches":
            try:
                return re2.search(values[0], values[1]) is not None
            except re2.error:
                raise AbsentError(f"{values[0]!r} is no regular expression") from None
    return values[0]


def _glob(text: str, pattern: str) -> bool:
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    return text == pattern
