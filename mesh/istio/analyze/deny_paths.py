"""KIT0113: a DENY by path that another spelling of the path gets around.

The policy compares strings; ``/admin/``, ``/Admin``, ``//admin`` or ``/admin%2e`` are other
strings, and many applications answer them all the same.
Source: istio.io, "Security best practices", "Path normalization" and "Use ALLOW-with-positive".
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.models.authorization_policy import AuthorizationPolicy
from mesh.istio.problem import Level, Problem


def deny_paths(context: Context) -> Iterator[Problem]:
    """Find exact paths in DENY policies."""
    for resource in context.by_kind.get("AuthorizationPolicy", ()):
        spec = resource.spec
        if not isinstance(spec, AuthorizationPolicy) or spec.action != "DENY":
            continue
        for index, rule in enumerate(spec.rules or ()):
            for number, each in enumerate(rule.to or ()):
                paths = (each.operation.paths if each.operation else None) or ()
                for place, path in enumerate(paths):
                    if path == "*" or path.endswith("*") or "{" in path:
                        continue
                    below = f"{path.rstrip('/')}/"
                    tricks = [
                        other
                        for other in (below, path.upper(), f"/{path}")
                        if not any(_fits(other, pattern) for pattern in paths)
                    ]
                    if not tricks:
                        continue
                    also = f", or deny `{below}*` too" if below in tricks else ""
                    yield resource.problem(
                        "KIT0113",
                        Level.WARNING,
                        f"DENY compares the path {path} letter by letter: {_listed(tricks)}",
                        f"spec.rules[{index}].to[{number}].operation.paths[{place}]",
                        expected="an ALLOW of the paths that are meant to be open",
                        hint=f"Allow what is open instead (action ALLOW){also}; a "
                        "DENY with notPaths closes everything but a list.",
                    )


def _fits(path: str, pattern: str) -> bool:
    """Whether ``pattern`` of a policy takes ``path``; a template is believed to."""
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    if pattern.startswith("*"):
        return path.endswith(pattern[1:])
    return path == pattern or "{" in pattern


def _listed(paths: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(paths[:-1]), paths[-1]))) + (
        " passes" if len(paths) == 1 else " pass"
    )
