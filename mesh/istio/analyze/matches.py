"""KIT0107, KIT0108, KIT0109: rewrites, expressions and headers that fit other requests than meant.

``rewrite.uri`` replaces the matched prefix: ``/customer`` -> ``/`` turns ``/customer/x`` into
``//x``.  A ``regex`` must fit the whole value, so ``Safari`` fits no real User-Agent.  A header of
the browser arrives at the second service only if the application in between passes it on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mesh.istio.analyze.context import MESH, Context
from mesh.istio.models.virtual_service import HTTPMatchRequest, HTTPRoute
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import format_path

LONG_HEADERS = frozenset(
    ["user-agent", "baggage-user-agent", "cookie", "referer", "accept", "accept-language", "via"]
)
FORWARDED = frozenset(
    [
        "authorization",
        "user-preference",
        "baggage-user-agent",
        "traceparent",
        "tracestate",
        "x-request-id",
        "x-b3-traceid",
        "x-b3-spanid",
        "x-b3-parentspanid",
        "x-b3-sampled",
        "x-b3-flags",
        "b3",
        "host",
        "content-type",
        "content-length",
        "accept",
        "accept-encoding",
        "connection",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-envoy-attempt-count",
    ]
)
"""Headers that the lecture's applications pass on, and those that every request has."""
_IGNORED = frozenset(["uri", "scheme", "method", "authority", ":authority", ":method", ":path"])
_WILD = re.compile(r"(?:\.|\]|\\[wWsSdD])[*+{]")


def double_slash(context: Context) -> Iterator[Problem]:
    """Find prefix rewrites that leave ``//`` in front."""
    for resource, spec in context.virtual_services():
        taken: set[str] = set()
        for index, rule in enumerate(spec.http or ()):
            matches = list(rule.match or ())
            taken.update(_prefix(each) for each in matches)
            rewrite = rule.rewrite.uri if rule.rewrite else None
            if not rewrite or not rewrite.endswith("/"):
                continue
            for number, each in enumerate(matches):
                prefix = _prefix(each)
                if not prefix or prefix.endswith("/") or f"{prefix}/" in taken:
                    continue
                yield resource.problem(
                    "KIT0107",
                    Level.WARNING,
                    f"prefix {prefix} rewritten to {rewrite} turns {prefix}/x into {rewrite}/x",
                    f"spec.http[{index}].match[{number}].uri.prefix",
                    hint=f"Match `prefix: {prefix}/` first and `prefix: {prefix}` after it, both "
                    f"in this rule (as the lab's gateway does).",
                )


def _prefix(match: HTTPMatchRequest) -> str:
    return (match.uri.prefix or "") if match.uri else ""


def whole_value_regex(context: Context) -> Iterator[Problem]:
    """Find expressions that look for a word in a long text and fit only the word itself."""
    for resource, rule, path in context.http_routes():
        for place, header, pattern in _header_regexes(rule, path):
            if header.lower() not in LONG_HEADERS or pattern == "*" or _WILD.search(pattern):
                continue
            yield resource.problem(
                "KIT0108",
                Level.WARNING,
                f'regex "{pattern}" must fit the whole value of {header}, not a part of it',
                place,
                read=pattern,
                expected=f".*({pattern}).*" if "|" in pattern else f".*{pattern}.*",
                hint=f'Write `regex: ".*{pattern}.*"`'
                if "|" not in pattern
                else f'Write `regex: ".*({pattern}).*"`.',
            )


def _header_regexes(rule: HTTPRoute, path: str) -> Iterator[tuple[str, str, str]]:
    for number, match in enumerate(rule.match or ()):
        for name, headers in (
            ("headers", match.headers),
            ("withoutHeaders", match.without_headers),
        ):
            for header, value in (headers or {}).items():
                if value.regex:
                    place = format_path((name, header, "regex"))
                    yield f"{path}.match[{number}].{place}", header, value.regex


def forwarded_headers(context: Context) -> Iterator[Problem]:
    """Find matches on headers that get lost on the way through the applications."""
    for resource, spec in context.virtual_services():
        if spec.gateways and MESH not in spec.gateways:
            continue
        for index, rule in enumerate(spec.http or ()):
            for number, match in enumerate(rule.match or ()):
                if match.gateways and MESH not in match.gateways:
                    continue
                for header in match.headers or ():
                    name = header.lower()
                    if name in FORWARDED or name in _IGNORED:
                        continue
                    nearest = _nearest(name)
                    hint = "Match a header that the applications forward"
                    hint += f": {nearest}." if nearest else f" ({', '.join(_USEFUL)})."
                    yield resource.problem(
                        "KIT0109",
                        Level.WARNING,
                        f"no application passes the header {header} on, so only the first service "
                        "that is called sees it; behind it this match never holds",
                        ("spec", "http", index, "match", number, "headers", header),
                        read=header,
                        expected=", ".join(_USEFUL),
                        nearest=nearest,
                        hint=hint,
                    )


_USEFUL = ("baggage-user-agent", "user-preference", "authorization")


def _nearest(name: str) -> str:
    return next((each for each in _USEFUL if each in name or name in each), "")
