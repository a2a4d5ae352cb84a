"""The match of a route, compiled: path, then headers, query parameters, cookies, fraction.

In a VirtualService: ``match.uri`` (exact, prefix, regex), ``ignoreUriCase``, ``method``,
``authority``, ``scheme``, ``headers``, ``withoutHeaders``, ``queryParams``; all conditions of
one block must hold.  A prefix is plain text: ``/foo`` matches ``/foobar``.  ``sourceLabels``,
``gateways`` and ``port`` are no conditions of a request: they decide which sidecar gets the
route at all.
See it with ``meshctl explain REQUEST``.

Source: Envoy, ``source/common/router/config_impl.cc`` (``RouteEntryImplBase::matchRoute``),
RouteMatch in ``route_components.proto``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher, QueryParameterMatcher, RouteMatch

from mesh.sidecar.filters.head import RequestHead, wire
from mesh.sidecar.filters.matchers import (
    HeadTest,
    StringTest,
    cookie_test,
    full_match,
    header_test,
    query_test,
    runtime_fraction,
)

RouteTest = Callable[[RequestHead, str, Callable[[], int]], bool]
"""(request, its path without query, the request's one 64-bit draw) -> whether the route matches."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a match: in words, as a test, and what of the request it looks at.

    ``subject`` is ``path``, ``header NAME``, ``query NAME``, ``cookie NAME`` or empty.
    """

    text: str
    subject: str
    holds: Callable[[RequestHead, str], bool]


@dataclass(frozen=True, slots=True)
class Match:
    """A compiled match.

    ``kind`` and ``value`` serve the index: ``exact`` and ``prefix`` can be looked up, anything
    else is ``other``.  ``prefix`` is what a prefix rewrite replaces (None: the whole path).
    ``conditions`` are for explanations: which of them a request did not meet.
    """

    test: RouteTest
    kind: str
    value: str
    prefix: str | None
    text: str
    conditions: tuple[Condition, ...]


def compile_match(match: RouteMatch) -> Match:
    """Compile ``match``; ValueError for a bad regex or a condition that is not executed."""
    if match.dynamic_metadata or match.filter_state or match.tls_context is not None:
        raise ValueError("matches on dynamic metadata, filter state or TLS are not executed here")
    if match.path_match_policy is not None:
        raise ValueError("path_match_policy is not executed here")
    fold = match.case_sensitive is False
    tests = _conditions(match)
    words = _words(match, fold)
    text = " and ".join(words)
    if match.connect_matcher is not None:
        connect = _explained(match, words, tests, lambda head, path: head.method == "CONNECT")
        return Match(_pathless(tests, match), "other", "", None, text, connect)
    if match.path is not None:
        value = _folded(match.path, fold)
        test: StringTest = lambda path: path == value  # noqa: E731
        prefix, kind = None, "exact"
    elif match.prefix is not None:
        value = _folded(match.prefix, fold)
        test = lambda path: path.startswith(value)  # noqa: E731
        prefix, kind = wire(match.prefix), "prefix"
    elif match.path_separated_prefix is not None:
        value = _folded(match.path_separated_prefix, fold)
        deeper = value + "/"
        test = lambda path: path == value or path.startswith(deeper)  # noqa: E731
        prefix, kind = wire(match.path_separated_prefix), "other"
    elif match.safe_regex is not None:
        value, fold, prefix, kind = "", False, None, "other"
        test = full_match(match.safe_regex)
    else:
        raise ValueError("the match names no path")
    if fold:
        sensitive = test
        test = lambda path: sensitive(path.lower())  # noqa: E731
        kind = "other"
    explained = _explained(match, words, tests, lambda head, path: path != "" and test(path))
    return Match(_with_path(test, tests, match), kind, value, prefix, text, explained)


def _explained(
    match: RouteMatch,
    words: list[str],
    tests: tuple[HeadTest, ...],
    first: Callable[[RequestHead, str], bool],
) -> tuple[Condition, ...]:
    """Put words and tests together; ``first`` is the path's, or that of the method CONNECT."""
    subjects = ["header :method" if match.connect_matcher is not None else "path"]
    subjects += [f"header {matcher.name.lower()}" for matcher in match.headers]
    subjects += [f"query {matcher.name}" for matcher in match.query_parameters]
    subjects += [f"cookie {matcher.name}" for matcher in match.cookies]
    subjects += [""] * (len(tests) + 1 - len(subjects))
    holds = [first, *(_of_head(test) for test in tests)]
    return tuple(map(Condition, words, subjects, holds))


def _of_head(test: HeadTest) -> Callable[[RequestHead, str], bool]:
    return lambda head, _path: test(head)


def _folded(text: str, fold: bool) -> str:
    return wire(text).lower() if fold else wire(text)


def _conditions(match: RouteMatch) -> tuple[HeadTest, ...]:
    tests = [header_test(matcher) for matcher in match.headers]
    tests += [query_test(matcher) for matcher in match.query_parameters]
    tests += [cookie_test(matcher) for matcher in match.cookies]
    if match.grpc is not None:
        tests.append(_is_grpc)
    return tuple(tests)


def _is_grpc(head: RequestHead) -> bool:
    content_type = head.get("content-type") or ""
    return content_type == "application/grpc" or content_type.startswith("application/grpc+")


def _with_path(test: StringTest, tests: tuple[HeadTest, ...], match: RouteMatch) -> RouteTest:
    numerator, denominator = runtime_fraction(match.runtime_fraction)
    if not tests and numerator >= denominator:
        # A CONNECT without a path takes only a route with a connect_matcher.
        return lambda head, path, draw: path != "" and test(path)

    def check(head: RequestHead, path: str, draw: Callable[[], int]) -> bool:
        if path == "" or not test(path):
            return False
        if numerator < denominator and draw() % denominator >= numerator:
            return False
        return all(condition(head) for condition in tests)

    return check


def _pathless(tests: tuple[HeadTest, ...], match: RouteMatch) -> RouteTest:
    numerator, denominator = runtime_fraction(match.runtime_fraction)

    def check(head: RequestHead, path: str, draw: Callable[[], int]) -> bool:
        if head.method != "CONNECT":
            return False
        if numerator < denominator and draw() % denominator >= numerator:
            return False
        return all(condition(head) for condition in tests)

    return check


def _words(match: RouteMatch, fold: bool) -> list[str]:
    if match.connect_matcher is not None:
        words = ["CONNECT"]
    elif match.path is not None:
        words = [f"path = {match.path}"]
    elif match.prefix is not None:
        words = [f"path begins with {match.prefix}"]
    elif match.path_separated_prefix is not None:
        words = [f"path is {match.path_separated_prefix} or below it"]
    else:
        words = [f"path matches {match.safe_regex.regex if match.safe_regex else ''}"]
    if fold and match.safe_regex is None:
        words[0] += " (any case)"
    words += [_header_text(matcher) for matcher in match.headers]
    words += [_query_text(matcher) for matcher in match.query_parameters]
    words += [f"cookie {matcher.name}" for matcher in match.cookies]
    if match.grpc is not None:
        words.append("gRPC")
    if match.runtime_fraction is not None:
        numerator, denominator = runtime_fraction(match.runtime_fraction)
        words.append(f"draw below {numerator}/{denominator}")
    return words


def _header_text(matcher: HeaderMatcher) -> str:
    string = matcher.string_match
    relation = "is present"
    for word, values in (
        ("=", (matcher.exact_match, string and string.exact)),
        ("begins with", (matcher.prefix_match, string and string.prefix)),
        ("ends with", (matcher.suffix_match, string and string.suffix)),
        ("contains", (matcher.contains_match, string and string.contains)),
    ):
        for value in values:
            if value is not None:
                relation = f"{word} {value}"
    regex = matcher.safe_regex_match or (string and string.safe_regex)
    if regex:
        relation = f"matches {regex.regex}"
    if matcher.range_match is not None:
        relation = f"in [{matcher.range_match.start}, {matcher.range_match.end})"
    if matcher.present_match is False:
        relation = "is absent"
    return f"{'not ' if matcher.invert_match else ''}header {matcher.name} {relation}"


def _query_text(matcher: QueryParameterMatcher) -> str:
    string = matcher.string_match
    if string is None:
        return f"query parameter {matcher.name} is {'absent' if matcher.present_match is False else 'present'}"
    if string.exact is not None:
        return f"query parameter {matcher.name} = {string.exact}"
    if string.safe_regex is not None:
        return f"query parameter {matcher.name} matches {string.safe_regex.regex}"
    return f"query parameter {matcher.name} matches {string.prefix or string.suffix or string.contains}"
