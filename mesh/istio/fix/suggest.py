"""What a repair would do about a problem: the ``fix`` of a Problem, by its line."""

from __future__ import annotations

from dataclasses import replace

from mesh.istio.document import SYNTAX
from mesh.istio.eras import Era
from mesh.istio.fix import Change, repair
from mesh.istio.problem import Problem

_TEXT_RULES = ("characters", "numbered_lines", "prose", "two_keys", "nesting")
"""The rules that make a text readable."""


def with_fixes(problems: list[Problem], text: str, file: str, era: Era) -> list[Problem]:
    """Return the problems of one file, each with the repair that ``meshctl fix`` has for its line.

    A change that spans several lines answers for all of them.
    """
    done = repair(text, file, era=era)
    reasons: dict[int, list[str]] = {}
    for change in done.changes:
        size = change.before.count("\n") + 1
        for line in range(change.position.line, change.position.line + size):
            reasons.setdefault(line, []).append(change.reason)
    found = []
    for each in problems:
        line = each.position.line
        if each.code == SYNTAX:
            each = _unreadable(each, done.changes)
        elif not each.fix and line in reasons:
            each = replace(each, fix="; ".join(dict.fromkeys(reasons[line])))
        found.append(each if each.hint else replace(each, hint=each.fix))
    return found


def _unreadable(problem: Problem, changes: list[Change]) -> Problem:
    """Give a syntax error the repair that makes the text readable.

    A parser stumbles over a sentence outside a comment only at the next key, so the place is
    that of the sentence then.
    """
    line = problem.position.line
    near = [each for each in changes if each.rule in _TEXT_RULES and each.position.line <= line]
    if not near:
        return problem
    best = max(near, key=lambda each: each.position.line)
    if best.rule != "prose":
        same = [each.reason for each in near if each.position.line == best.position.line]
        return replace(problem, fix="; ".join(dict.fromkeys(same)))
    return replace(
        problem,
        position=best.position,
        message=f'"{best.before.strip()[:60]}" is neither a key nor a comment: {problem.message}',
        read=best.before.strip()[:80],
        hint="Start the line with `#`.",
        fix=best.reason,
    )
