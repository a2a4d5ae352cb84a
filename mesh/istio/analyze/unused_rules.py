"""IST0130 and IST0131: http rules and matches that no request ever reaches.

Rules are tried in the order of the file and the first that matches wins, so a rule without
``match`` ends the list.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.models.virtual_service import HTTPMatchRequest, HTTPRoute
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource

_EVERYTHING = frozenset(("{}", '{"uri": {"prefix": "/"}}'))
"""Forms of matches that every request fits."""
type Known = dict[str, int]
"""Canonical form of a match -> the rule that has it."""


def unused_rules(context: Context) -> Iterator[Problem]:
    """Check the order of the http rules of each VirtualService."""
    for resource, spec in context.virtual_services():
        yield from _rules(resource, list(spec.http or ()))


def _rules(resource: Resource, rules: list[HTTPRoute]) -> Iterator[Problem]:
    seen: Known = {}
    catch_all: int | None = None
    for index, rule in enumerate(rules):
        name = rule.name or f"#{index}"
        path = f"spec.http[{index}]"
        matches = list(rule.match or ())
        forms = [_form(each) for each in matches]
        reason = hint = ""
        if catch_all is not None:
            above = rules[catch_all].name or f"#{catch_all}"
            if matches:
                reason = "route without matches defined before"
                hint = f"Rule {above} has no match and takes everything: move it to the end."
            else:
                reason = "only the last rule can have no matches"
                hint = (
                    f"Rule {above} takes everything already. To split traffic, put both "
                    "destinations into the `route` of one rule with weights."
                )
        elif matches and all(form in seen for form in forms):
            reason = "all matches used by prior rules"
            hint = f"Rule #{seen[forms[0]]} has the same matches and stands above."
        if reason:
            text = f"VirtualService rule {name} not used ({reason})."
            yield resource.problem("IST0130", Level.WARNING, text, path, hint=hint)
        else:
            for number, (each, form) in enumerate(zip(matches, forms, strict=True)):
                if form in seen:
                    text = (
                        f"VirtualService rule {name} match {each.name or f'#{number}'} is not used "
                        f"(duplicate/overlapping match in rule #{seen[form]})."
                    )
                    place = f"{path}.match[{number}]"
                    hint = "The rule above takes these requests: remove the match here or there."
                    yield resource.problem("IST0131", Level.INFO, text, place, hint=hint)
        for form in forms:
            seen.setdefault(form, index)
        if catch_all is None and (not matches or not _EVERYTHING.isdisjoint(forms)):
            catch_all = index


def _form(match: HTTPMatchRequest) -> str:
    data = match.to_json()
    data.pop("name", None)
    return json.dumps(data, sort_keys=True)
