"""Why a request did not take a route: the first condition that did not hold, and what it met.

Most surprises with a VirtualService are of this kind: the rule is there, and the request goes
past it, because a header is missing, a prefix is case-sensitive, or an earlier rule took it.
See it with ``meshctl explain REQUEST``.
"""

from __future__ import annotations

from collections.abc import Iterable

from mesh.sidecar.filters.head import RequestHead, path_of
from mesh.sidecar.filters.matchers import cookies
from mesh.sidecar.filters.route_match import Condition


def failing(conditions: Iterable[Condition], head: RequestHead) -> str:
    """Return the first condition that ``head`` does not meet, and what ``head`` has there.

    When all of them hold, the random draw of the match was above its fraction.
    """
    path = path_of(head.path)
    for condition in conditions:
        if not condition.holds(head, path):
            return f"{condition.text}: {_seen(condition.subject, head, path)}"
    return "the draw was not below its fraction"


def _seen(subject: str, head: RequestHead, path: str) -> str:
    kind, _, name = subject.partition(" ")
    if kind == "path":
        return f"the path is {path}" if path else "the request has no path"
    if kind == "header":
        values = head.values(name)
        return f"the request has {', '.join(values)}" if values else "the request has none"
    if kind == "query":
        value = head.query().get(name)
    else:
        value = cookies(head).get(name) if kind == "cookie" else None
    return "the request has none" if value is None else f"the request has {value}"
