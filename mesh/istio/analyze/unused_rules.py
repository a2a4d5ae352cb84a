"""IST0130 and IST0131: rules and matches that no request (or connection) ever reaches.

Rules are tried in the order of the file and the first that matches wins, so a rule without
``match`` ends the list.
Source: istio/istio ``pkg/config/validation/validation.go``, analyzeUnreachableHTTPRules and what
stands around it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.istio.analyze.context import Context
from mesh.istio.analyze.overlaps import Prefix, prefix_of
from mesh.istio.models.virtual_service import HTTPMatchRequest, HTTPRoute, TCPRoute, TLSRoute
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource

_EVERYTHING = frozenset(("{}", '{"uri": {"prefix": "/"}}'))
"""Forms of matches that every request fits."""
MAX_PREFIXES = 100
"""Prefixes of one VirtualService that are compared with each other."""

type Rule = HTTPRoute | TCPRoute | TLSRoute


@dataclass(frozen=True, slots=True)
class _Match:
    """One match: the rule it belongs to, how messages call it, and its form to be compared."""

    rule: int
    name: str
    form: str
    path: str
    prefix: Prefix | None


def unused_rules(context: Context) -> Iterator[Problem]:
    """Check the order of the rules of each VirtualService."""
    for resource, spec in context.virtual_services():
        yield from _rules(resource, "http", spec.http or ())
        yield from _rules(resource, "tcp", spec.tcp or ())
        yield from _rules(resource, "tls", spec.tls or ())


def _rules(resource: Resource, field: str, rules: Sequence[Rule]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    reached: list[_Match] = []
    catch_all: int | None = None
    for index, rule in enumerate(rules):
        path = f"spec.{field}[{index}]"
        matches = [_match(index, n, each, path) for n, each in enumerate(rule.match or ())]
        if catch_all is not None:
            yield _after(resource, rules, index, catch_all, path)
        else:
            for each in matches:
                if each.form in seen:
                    what = _name(rules, seen[each.form])
                    yield _ineffective(resource, rules, each, each.name, what)
            if matches and all(each.form in seen for each in matches):
                text = "all matches used by prior rules"
                hint = f"Rule #{seen[matches[0].form]} has the same matches and stands above."
                yield _unreachable(resource, rules, index, text, hint, path)
            new = [each for each in matches if each.form not in seen]
            yield from _covered(resource, rules, reached, new)
            reached += new
        for each in matches:
            seen.setdefault(each.form, index)
        if catch_all is None and (not matches or _takes_all(matches)):
            catch_all = index


def _takes_all(matches: list[_Match]) -> bool:
    return any(each.form in _EVERYTHING for each in matches)


def _match(rule: int, number: int, match: Any, path: str) -> _Match:
    name = getattr(match, "name", None)
    data = match.to_json()
    data.pop("name", None)
    form = json.dumps(data, sort_keys=True)
    prefix = prefix_of(match) if isinstance(match, HTTPMatchRequest) else None
    return _Match(
        rule, f'"{name}"' if name else f"#{number}", form, f"{path}.match[{number}]", prefix
    )


def _covered(
    resource: Resource, rules: Sequence[Rule], above: list[_Match], new: list[_Match]
) -> Iterator[Problem]:
    """Find prefixes that a shorter one takes, which stands above in this rule or another."""
    known = [each for each in above if each.prefix is not None][:MAX_PREFIXES]
    for each in new:
        if each.prefix is None:
            continue
        for other in known:
            if other.prefix is not None and other.prefix.covers(each.prefix):
                what = f"{each.name} of prefix {each.prefix.text}"
                by = f"{other.name} of prefix {other.prefix.text} on {_name(rules, other.rule)}"
                yield _ineffective(resource, rules, each, what, by)
        if len(known) < MAX_PREFIXES:
            known.append(each)


def _after(
    resource: Resource, rules: Sequence[Rule], index: int, catch_all: int, path: str
) -> Problem:
    above = _name(rules, catch_all)
    if rules[index].match:
        text = "route without matches defined before"
        hint = f"Rule {above} has no match and takes everything: move it to the end."
    else:
        text = "only the last rule can have no matches"
        hint = (
            f"Rule {above} takes everything already. To split traffic, put both "
            "destinations into the `route` of one rule with weights."
        )
    return _unreachable(resource, rules, index, text, hint, path)


def _unreachable(
    resource: Resource, rules: Sequence[Rule], index: int, reason: str, hint: str, path: str
) -> Problem:
    text = f"VirtualService rule {_name(rules, index)} not used ({reason})."
    return resource.problem("IST0130", Level.WARNING, text, path, hint=hint)


def _ineffective(
    resource: Resource, rules: Sequence[Rule], match: _Match, what: str, by: str
) -> Problem:
    text = (
        f"VirtualService rule {_name(rules, match.rule)} match {what} is not used "
        f"(duplicate/overlapping match in rule {by})."
    )
    hint = "What stands above takes these requests: remove the match here or there."
    return resource.problem("IST0131", Level.INFO, text, match.path, hint=hint)


def _name(rules: Sequence[Rule], index: int) -> str:
    name = getattr(rules[index], "name", None)
    return f'"{name}"' if name else f"#{index}"
