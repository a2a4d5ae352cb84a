"""The rules of Mixer's kinds: every expression parses.

Source: istio/istio 1.4 ``mixer/pkg/config`` (expressions are checked when they are applied).
"""

from __future__ import annotations

from mesh.istio.mixer_expression import ExpressionError, parse
from mesh.istio.models.legacy_mixer import MetricTemplate, MixerRule, QuotaTemplate
from mesh.istio.validate.findings import Findings, Steps


def check_rule(spec: MixerRule, found: Findings) -> None:
    """Check a rule."""
    if spec.match and spec.match.strip():
        _expression(("spec", "match"), spec.match, found)
    if not spec.actions and not (spec.request_header_operations or spec.response_header_operations):
        found.error(("spec",), "a rule needs actions", expected="actions")


def check_dimensions(spec: QuotaTemplate | MetricTemplate, found: Findings) -> None:
    """Check the expressions of a quota or a metric."""
    for name, text in (spec.dimensions or {}).items():
        _expression(("spec", "dimensions", name), text, found)
    if isinstance(spec, MetricTemplate) and spec.value:
        _expression(("spec", "value"), spec.value, found)


def _expression(path: Steps, text: str, found: Findings) -> None:
    try:
        parse(text)
    except ExpressionError as error:
        here = f"{text[: error.offset]}>>>{text[error.offset :]}"
        found.error(path, f"{error} (character {error.offset + 1}: {here})")
