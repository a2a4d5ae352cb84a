"""l5d-dtab: Linkerd 1's per-request routing, by a header that the caller sends.

``l5d-dtab: /svc/recommendation => /svc/recommendation-v2`` is a line of a delegation table for
this one request: who calls ``recommendation`` on its way meets another service instead, so a new
version is tried in production by one tester.  Applications forward the header (``l5d-ctx-*`` in
Linkerd), else it works for one hop.  On in a mesh whose topology says ``l5d_dtab: true``.

Envoy has no such table, so it is written out: for every service and every other one (a service's
name, ``NAME.NAMESPACE`` or the whole host; ``NAME-SUBSET`` for a subset of a DestinationRule) the
target's routes with a condition on the header.  As in Linkerd entries are separated by ``;`` and
the last one for a name counts, and the target's own rules hold.
What Linkerd can and this cannot: names that are not known in advance, one entry leading to the
next, ``*`` and shorter prefixes (``/svc``), alternatives (``|``), weights (``&``) and addresses
(``/$/inet``).  An entry that says any of that is passed over.  Gateways do not read the header.
Source: linkerd.io ``config/1.x``, "HTTP headers", "Dtabs"; linkerd/linkerd ``router/http``.
Shown by ``meshctl proxy-config route POD -o json``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher, Route
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from mesh.pilot.translate import messages, names, virtual_service
from mesh.pilot.translate.view import MeshView
from mesh.topology import Service

HEADER = "l5d-dtab"
_SVC = "/svc/"
_LETTERS = "-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NAME = r"\-._0-9A-Za-z"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a name may lead: the words for it, and how its routes are made for a port."""

    words: tuple[str, ...]
    service: Service
    subset: str = ""


def routes(
    view: MeshView,
    service: Service,
    port: int,
    own: Callable[[Service, int], list[Route]],
) -> list[Route]:
    """Return the routes of ``service`` that depend on the header; ``own`` makes a service's."""
    if not view.l5d_dtab:
        return []
    found: list[Route] = []
    logical = names.aliases(service.hostname, view.client)
    for target in targets(view):
        if target.service.hostname == service.hostname and not target.subset:
            continue
        number = _port(target.service, port)
        if target.subset:
            cluster = names.outbound(number, target.subset, target.service.hostname)
            made = [virtual_service.default_route(view, cluster)]
        else:
            made = own(target.service, number)
        condition = HeaderMatcher(
            name=HEADER,
            string_match=StringMatcher(safe_regex=messages.regex(pattern(logical, target.words))),
        )
        for route in made:
            if route.match is not None:
                route.match.headers = [condition, *route.match.headers]
        found += made
    return found


def targets(view: MeshView) -> list[Target]:
    """Return everything that a name may be mapped to; a service goes before a subset of its name."""
    found: list[Target] = []
    taken: set[str] = set()
    services = list(view.services.values())
    for service in services:
        words = tuple(names.aliases(service.hostname, view.client))
        taken.update(words)
        found.append(Target(words, service))
    for service in services:
        rule = view.rule(service.hostname)
        for subset in rule.subsets if rule else ():
            words = tuple(
                word
                for each in names.aliases(service.hostname, view.client)
                if (word := _with_subset(each, subset.name)) not in taken
            )
            taken.update(words)
            if words:
                found.append(Target(words, service, subset.name))
    return found


def _with_subset(name: str, subset: str) -> str:
    first, dot, rest = name.partition(".")
    return f"{first}-{subset}{dot}{rest}"


def _port(service: Service, port: int) -> int:
    numbers = [each.number for each in service.ports]
    return port if port in numbers or not numbers else numbers[0]


def pattern(logical: Iterable[str], words: Iterable[str]) -> str:
    """Return the RE2 of headers whose last entry for one of ``logical`` leads to one of ``words``.

    RE2 has no negative look-ahead, so "an entry for another name" is spelled out letter by letter.
    """
    own = list(logical)
    rest = rf"(?:;\s*{_others(own)}?)*"
    return rf"(?:.*;)?\s*{_SVC}{_any(own)}\s*=>\s*{_SVC}{_any(words)}\s*{rest}"


def last_entry(header: str, logical: Iterable[str]) -> str:
    """Return where the last entry for one of ``logical`` leads, ``""`` for none: what RE2 is to find."""
    found = ""
    own = set(logical)
    for entry in header.split(";"):
        name, arrow, target = (part.strip() for part in entry.partition("=>"))
        if arrow and name.startswith(_SVC) and name.removeprefix(_SVC) in own:
            found = target
    return found.removeprefix(_SVC) if found.startswith(_SVC) else ""


def _any(values: Iterable[str]) -> str:
    return f"(?:{'|'.join(re.escape(each) for each in values)})"


def _others(own: Iterable[str]) -> str:
    """Return what an entry (up to the next ``;``) looks like whose name is none of ``own``."""
    inside = _names(frozenset(own))
    for size in range(len(_SVC) - 1, 0, -1):
        inside = rf"(?:[^;{_SVC[size]}][^;]*|{_SVC[size]}{inside})?"
    return rf"(?:[^;\s/][^;]*|/{inside})"


def _names(own: frozenset[str]) -> str:
    """Return the rest of such an entry after its ``/svc/``, where ``own`` are the names to avoid.

    A name leaves the way of all of them where it ends, or goes on with another letter.
    """
    letters = sorted({each[0] for each in own if each})
    ways = [rf"[{_ranges(set(_LETTERS) - set(letters))}][^;]*"]
    for letter in letters:
        below = frozenset(each[1:] for each in own if each.startswith(letter))
        ways.append(re.escape(letter) + _names(below))
    if "" not in own:
        ways.append(rf"[^;{_NAME}][^;]*")
    return rf"(?:{'|'.join(ways)}){'' if '' in own else '?'}"


def _ranges(letters: set[str]) -> str:
    """Write a set of letters as the inside of a character class."""
    codes = sorted(ord(each) for each in letters)
    parts: list[str] = []
    at = 0
    while at < len(codes):
        end = at
        while end + 1 < len(codes) and codes[end + 1] == codes[end] + 1:
            end += 1
        first, last = (rf"\x{codes[place]:02x}" for place in (at, end))
        parts.append(first if at == end else f"{first}-{last}")
        at = end + 1
    return "".join(parts)
