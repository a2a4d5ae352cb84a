"""Matchers of values: strings, headers, query parameters, cookies, fractions.

In a real mesh these are the leaves of ``match`` in a VirtualService (``exact``, ``prefix``,
``regex``, ``withoutHeaders``, ``queryParams``) and of most other rules.  Each matcher of the
configuration is compiled once into a function, so a request costs only calls.  Regular
expressions are RE2 and must match the whole value, as in Envoy.
See them with ``meshctl proxy-config routes POD -o json``.

Sources: Envoy, ``api/envoy/config/route/v3/route_components.proto`` (HeaderMatcher,
QueryParameterMatcher), ``source/common/http/header_utility.cc``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import re2
from envoy_data_plane.envoy.config.core.v3 import RuntimeFractionalPercent
from envoy_data_plane.envoy.config.route.v3 import (
    CookieMatcher,
    HeaderMatcher,
    QueryParameterMatcher,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import FractionalPercent

from mesh.sidecar.filters.head import RequestHead, wire

StringTest = Callable[[str], bool]
HeadTest = Callable[[RequestHead], bool]

_DENOMINATORS = {0: 100, 1: 10_000, 2: 1_000_000}
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.encoding = re2.Options.Encoding.LATIN1  # Envoy's choice: ``.`` is one byte


def compile_regex(pattern: str) -> Any:
    """Compile an RE2 pattern; ValueError with RE2's reason when it is none."""
    try:
        return re2.compile(pattern.encode(), _OPTIONS)
    except re2.error as problem:
        reason = problem.args[0] if problem.args else problem
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"regex {pattern!r} is not valid RE2: {text}") from None


def full_match(matcher: RegexMatcher) -> StringTest:
    """Test whether the whole value matches the RE2 expression of ``matcher``."""
    fullmatch = compile_regex(matcher.regex).fullmatch
    return lambda value: fullmatch(value.encode("latin-1", "replace")) is not None


def string_test(matcher: StringMatcher) -> StringTest:
    """Compile a StringMatcher; ``ignore_case`` does not touch regular expressions."""
    fold = matcher.ignore_case
    if matcher.safe_regex is not None:
        return full_match(matcher.safe_regex)
    if matcher.exact is not None:
        return _exact(matcher.exact, fold)
    if matcher.prefix is not None:
        return _prefix(matcher.prefix, fold)
    if matcher.suffix is not None:
        return _suffix(matcher.suffix, fold)
    if matcher.contains is not None:
        return _contains(matcher.contains, fold)
    raise ValueError("a string match needs exact, prefix, suffix, contains or safe_regex")


def _exact(wanted: str, fold: bool) -> StringTest:
    wanted = wire(wanted)
    if fold:
        folded = wanted.lower()
        return lambda value: value.lower() == folded
    return lambda value: value == wanted


def _prefix(wanted: str, fold: bool) -> StringTest:
    wanted = wire(wanted)
    if fold:
        folded = wanted.lower()
        return lambda value: value.lower().startswith(folded)
    return lambda value: value.startswith(wanted)


def _suffix(wanted: str, fold: bool) -> StringTest:
    wanted = wire(wanted)
    if fold:
        folded = wanted.lower()
        return lambda value: value.lower().endswith(folded)
    return lambda value: value.endswith(wanted)


def _contains(wanted: str, fold: bool) -> StringTest:
    wanted = wire(wanted)
    if fold:
        folded = wanted.lower()
        return lambda value: folded in value.lower()
    return lambda value: wanted in value


def _range(start: int, end: int) -> StringTest:
    def test(value: str) -> bool:
        digits = value.strip()
        body = digits[1:] if digits[:1] in "+-" else digits
        return body.isascii() and body.isdigit() and start <= int(digits) < end

    return test


def _header_value_test(matcher: HeaderMatcher) -> StringTest | None:
    """Test of the header's value, or None when only its presence is asked for."""
    if matcher.string_match is not None:
        return string_test(matcher.string_match)
    if matcher.exact_match is not None:
        return _exact(matcher.exact_match, fold=False)
    if matcher.prefix_match is not None:
        return _prefix(matcher.prefix_match, fold=False)
    if matcher.suffix_match is not None:
        return _suffix(matcher.suffix_match, fold=False)
    if matcher.contains_match is not None:
        return _contains(matcher.contains_match, fold=False)
    if matcher.safe_regex_match is not None:
        return full_match(matcher.safe_regex_match)
    if matcher.range_match is not None:
        return _range(matcher.range_match.start, matcher.range_match.end)
    return None


def header_test(matcher: HeaderMatcher) -> HeadTest:
    """Compile a HeaderMatcher.

    Of a repeated header one value that fits is enough (inverted: none may fit).  A missing
    header fails every test of a value, an inverted one too, unless
    ``treat_missing_header_as_empty`` is set: therefore ``withoutHeaders`` sets it.
    """
    name = matcher.name.lower()
    invert = matcher.invert_match
    value_test = _header_value_test(matcher)
    if value_test is None:
        wanted = (matcher.present_match is not False) != invert
        if matcher.treat_missing_header_as_empty:
            # The missing header counts as an empty one that is there.
            return lambda head: wanted
        return lambda head: bool(head.values(name)) is wanted
    test = value_test
    if matcher.treat_missing_header_as_empty:
        return lambda head: any(map(test, head.values(name) or ("",))) is not invert
    if invert:
        return lambda head: bool(values := head.values(name)) and not any(map(test, values))
    return lambda head: any(map(test, head.values(name)))


def query_test(matcher: QueryParameterMatcher) -> HeadTest:
    """Compile a QueryParameterMatcher; the value is compared as sent, not decoded."""
    name = wire(matcher.name)
    if matcher.string_match is not None:
        test = string_test(matcher.string_match)
        return lambda head: (value := head.query().get(name)) is not None and test(value)
    wanted = matcher.present_match is not False
    return lambda head: (name in head.query()) is wanted


def cookies(head: RequestHead) -> dict[str, str]:
    """Cookies of the request; the first value of a repeated name."""
    found: dict[str, str] = {}
    for key, value in head.headers:
        if key == "cookie":
            for pair in value.split(";"):
                name, separator, content = pair.strip().partition("=")
                if separator:
                    found.setdefault(name, content.strip('"'))
    return found


def cookie_test(matcher: CookieMatcher) -> HeadTest:
    """Compile a CookieMatcher; a missing cookie matches only an inverted test."""
    if matcher.string_match is None:
        raise ValueError(f"the cookie match of {matcher.name!r} needs a string_match")
    name, invert, test = matcher.name, matcher.invert_match, string_test(matcher.string_match)

    def check(head: RequestHead) -> bool:
        value = cookies(head).get(name)
        return invert if value is None else test(value) is not invert

    return check


def fraction_of(percent: FractionalPercent | None) -> tuple[int, int]:
    """(numerator, denominator) of a FractionalPercent; absent means never: (0, 100)."""
    if percent is None:
        return 0, 100
    return percent.numerator, _DENOMINATORS[int(percent.denominator)]


def runtime_fraction(percent: RuntimeFractionalPercent | None) -> tuple[int, int]:
    """(numerator, denominator) of a runtime fraction; absent means always: (100, 100)."""
    if percent is None:
        return 100, 100
    return fraction_of(percent.default_value)


def draw(fraction: tuple[int, int], rng: random.Random) -> bool:
    """Draw once whether the fraction fires; certain outcomes need no draw."""
    numerator, denominator = fraction
    if numerator <= 0:
        return False
    return numerator >= denominator or rng.randrange(denominator) < numerator
