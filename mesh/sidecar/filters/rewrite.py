"""Rewrite: the path and the authority with which a request goes on to its destination.

In a VirtualService: ``rewrite.uri`` (replaces the matched prefix, or the whole path after an
exact or regex match), ``rewrite.uriRegexRewrite``, ``rewrite.authority``.  Only the matched
prefix is replaced, so ``/customer`` -> ``/`` turns ``/customer/x`` into ``//x``: the classic
bug.  The path as it came stays in ``x-envoy-original-path``, which the access log prints.
See it with ``meshctl logs POD`` (client: original path; server: rewritten path).

Source: Envoy, ``source/common/router/config_impl.cc`` (``finalizeRequestHeaders``,
``finalizePathHeader``), RouteAction ``prefix_rewrite``, ``regex_rewrite``, ``host_rewrite_*``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from envoy_data_plane.envoy.config.route.v3 import RouteAction
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatchAndSubstitute

from mesh.sidecar.filters.head import RequestHead, path_of, wire
from mesh.sidecar.filters.matchers import compile_regex

Substitute = Callable[[str], str]

_REFERENCE = re.compile(r"\\(\d|\\)")


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Compiled rewrites of a route; false when there are none.

    ``matched_prefix`` is the prefix that the route matched, or None: then ``prefix`` replaces
    the whole path.
    """

    prefix: str = ""
    matched_prefix: str | None = None
    path: Substitute | None = None
    host: str = ""
    host_header: str = ""
    host_from_path: Substitute | None = None
    auto_host: bool = False
    append_forwarded_host: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.prefix
            or self.path
            or self.host
            or self.host_header
            or self.host_from_path
            or self.auto_host
        )


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What goes upstream; the originals are None where nothing changed."""

    path: str
    authority: str
    original_path: str | None = None
    original_authority: str | None = None
    forwarded_host: str | None = None


def substitution(rewrite: RegexMatchAndSubstitute | None, where: str) -> Substitute:
    r"""Compile a regex rewrite: every match is replaced, ``\1`` names a group.

    ValueError for a missing or invalid pattern or for a group that the pattern lacks.
    """
    if rewrite is None or rewrite.pattern is None:
        raise ValueError(f"{where}: a regex rewrite needs a pattern")
    pattern: Any = compile_regex(rewrite.pattern.regex)
    parts: list[str | int] = []
    position = 0
    text = wire(rewrite.substitution)
    for found in _REFERENCE.finditer(text):
        parts.append(text[position : found.start()])
        position = found.end()
        parts.append("\\" if found.group(1) == "\\" else int(found.group(1)))
    parts.append(text[position:])
    if "\\" in "".join(part for part in parts if isinstance(part, str) and part != "\\"):
        raise ValueError(f"{where}: stray backslash in substitution {text!r}")
    missing = [part for part in parts if isinstance(part, int) and part > pattern.groups]
    if missing:
        raise ValueError(
            f"{where}: substitution {text!r} names group {missing[0]}, which the regex lacks"
        )

    def expand(found: Any) -> str:
        return "".join(
            part if isinstance(part, str) else (found.group(part) or b"").decode("latin-1")
            for part in parts
        )

    def substitute(value: str) -> str:
        result: list[str] = []
        start = 0
        for found in pattern.finditer(value.encode("latin-1", "replace")):
            if found.start() == found.end() == start and result:
                continue  # RE2 replaces no empty match right behind another match
            result.append(value[start : found.start()])
            result.append(expand(found))
            start = found.end()
        result.append(value[start:])
        return "".join(result)

    return substitute


def compile_rewrite(action: RouteAction, matched_prefix: str | None, where: str) -> Rewrite:
    """Compile the rewrites of ``action``; ValueError when two exclude each other."""
    if action.prefix_rewrite and action.regex_rewrite is not None:
        raise ValueError(f"{where}: only one of prefix_rewrite and regex_rewrite can be set")
    return Rewrite(
        prefix=wire(action.prefix_rewrite),
        matched_prefix=matched_prefix,
        path=substitution(action.regex_rewrite, where) if action.regex_rewrite else None,
        host=wire(action.host_rewrite_literal or ""),
        host_header=(action.host_rewrite_header or "").lower(),
        host_from_path=(
            substitution(action.host_rewrite_path_regex, where)
            if action.host_rewrite_path_regex
            else None
        ),
        auto_host=bool(action.auto_host_rewrite),
        append_forwarded_host=action.append_x_forwarded_host,
    )


def decide(rewrite: Rewrite, head: RequestHead, host_override: str = "") -> Rewritten:
    """Rewrite ``head``'s path and authority; ``host_override`` is a weighted cluster's literal.

    The rewrite works on the path without its query; the query is kept.  A rewrite that changes
    nothing still leaves its original.  The route's authority wins over the weighted cluster's,
    whose own leaves no trace.  ``auto_host`` needs the chosen endpoint's hostname, so the router
    does it.
    """
    before = host_override or head.authority
    authority = _authority(rewrite, head)
    path = head.path
    bare = path_of(path)
    if rewrite.path is not None:
        path = rewrite.path(bare) + path[len(bare) :]
    elif rewrite.prefix:
        cut = len(bare) if rewrite.matched_prefix is None else len(rewrite.matched_prefix)
        path = rewrite.prefix + path[cut:]
    return Rewritten(
        path=path,
        authority=before if authority is None else authority,
        original_path=head.path if rewrite.path is not None or rewrite.prefix else None,
        original_authority=None if authority is None else before,
        forwarded_host=(
            before if authority is not None and rewrite.append_forwarded_host else None
        ),
    )


def _authority(rewrite: Rewrite, head: RequestHead) -> str | None:
    """Return the authority that the route asks for, or None."""
    if rewrite.host:
        return rewrite.host
    if rewrite.host_header:
        return next(iter(head.values(rewrite.host_header)), "") or None
    if rewrite.host_from_path is not None:
        return rewrite.host_from_path(path_of(head.path))
    return None
