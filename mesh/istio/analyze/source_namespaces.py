"""IST0101: an AuthorizationPolicy about callers of a namespace that does not exist.

Source: istio/istio ``pkg/config/analysis/analyzers/authz``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.models.authorization_policy import AuthorizationPolicy
from mesh.istio.nearest import listed, nearest
from mesh.istio.problem import Level, Problem
from mesh.topology import ROOT_NAMESPACE


def source_namespaces(context: Context) -> Iterator[Problem]:
    """Check ``namespaces`` and ``notNamespaces``, where it is known which there are."""
    spaces = {each.name for each in context.by_kind.get("Namespace", ())}
    if not spaces and context.topology is None:
        return
    known = {*spaces, *context.pods.by_namespace, ROOT_NAMESPACE, "default"}
    for resource in context.by_kind.get("AuthorizationPolicy", ()):
        spec = resource.spec
        if not isinstance(spec, AuthorizationPolicy):
            continue
        for index, rule in enumerate(spec.rules or ()):
            for number, each in enumerate(rule.from_ or ()):
                source = each.source
                if source is None:
                    continue
                path = f"spec.rules[{index}].from[{number}].source"
                for field, values in (
                    ("namespaces", source.namespaces),
                    ("notNamespaces", source.not_namespaces),
                ):
                    for place, value in enumerate(values or ()):
                        if not any(_fits(value.lower(), name) for name in known):
                            near = nearest(value, known)
                            yield resource.problem(
                                "IST0101",
                                Level.ERROR,
                                f'Referenced namespace not found: "{value}"',
                                f"{path}.{field}[{place}]",
                                expected=listed(known),
                                nearest=near,
                                hint=f"Did you mean {near}?"
                                if near
                                else f"There are the namespaces {listed(known)}.",
                            )


def _fits(expression: str, name: str) -> bool:
    if expression.startswith("*"):
        return name.endswith(expression[1:])
    if expression.endswith("*"):
        return name.startswith(expression[:-1])
    return expression == name
