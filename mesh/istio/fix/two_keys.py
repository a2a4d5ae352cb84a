"""Two keys in one line, ``destination: a policy:``: a line break got lost."""

from __future__ import annotations

import re

from mesh.istio.document import SYNTAX
from mesh.istio.fix.draft import Draft, Edit

_TWO = re.compile(
    r"""([ ]*(?:- )*)([A-Za-z][\w.-]*): +([^\s"'{\[#|>&*]\S*) +([A-Za-z][\w.-]*:(?:\s.*)?)$"""
)


def two_keys(draft: Draft) -> Edit | None:
    """Start a new line before the second key of the line on which YAML gave up."""
    for document in draft.documents:
        for problem in document.problems:
            if problem.code != SYNTAX or "mapping values" not in problem.message:
                continue
            index = problem.position.line - 1
            found = _TWO.match(draft.lines[index].text) if index < len(draft.lines) else None
            if found:
                prefix, key, value, rest = found.groups()
                new = [f"{prefix}{key}: {value}", " " * len(prefix) + rest.rstrip()]
                return draft.replace(index, index + 1, new, "a line holds one key")
    return None
