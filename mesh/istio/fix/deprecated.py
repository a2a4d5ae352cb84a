"""Fields that the release of the era no longer wants: their successors, with the same effect.

``percent: 50`` is ``percentage.value``; ``mirrorPercent`` likewise; LEAST_CONN was renamed.
``consecutiveErrors`` counted 502, 503 and 504 only, which is ``consecutiveGatewayErrors`` today;
releases from 1.7 on parse the old word and ignore it.  An era that still honours a field keeps it.
Sources: istio/api ``virtual_service.proto``, ``destination_rule.proto``.
"""

from __future__ import annotations

from mesh.istio.fix.draft import Draft, Edit
from mesh.istio.fix.fields import Place, places
from mesh.istio.models.destination_rule import LoadBalancerSettings, OutlierDetection
from mesh.istio.models.virtual_service import Abort, Delay, HTTPRoute

_SINCE = (1, 1)


def deprecated(draft: Draft) -> Edit | None:
    """Write the first old field in the way of the era."""
    if draft.era.release < _SINCE:
        return None
    for place in places(draft):
        start = place.entry.line - 1
        if place.entry.node.kind != "scalar" or place.entry.node.line - 1 != start:
            continue
        if not draft.in_block_style(place.name, place.entry):
            continue
        edit = _percent(draft, place) or _renamed(draft, place)
        if edit:
            return edit
    return None


def _percent(draft: Draft, place: Place) -> Edit | None:
    new = ""
    if place.name == "percent" and issubclass(place.owner.model, (Delay, Abort)):
        new = "percentage"
    if place.name in ("mirrorPercent", "mirror_percent") and place.owner.model is HTTPRoute:
        new = "mirrorPercentage"
    if not new or new in place.owner.node.entries:
        return None
    start, column = place.entry.line - 1, place.entry.column
    text = draft.lines[start].text
    value = text[place.entry.node.column - 1 :].rstrip()
    lines = [text[: column - 1] + f"{new}:", " " * (column + 1) + f"value: {value}"]
    reason = f"`{place.name}` is deprecated: `{new}.value` says the same, with decimals"
    return draft.replace(start, start + 1, lines, reason)


def _renamed(draft: Draft, place: Place) -> Edit | None:
    start = place.entry.line - 1
    text = draft.lines[start].text
    if place.owner.model is OutlierDetection and place.name == "consecutiveErrors":
        right = "consecutiveGatewayErrors"
        if draft.era.consecutive_errors_honoured or right in place.owner.node.entries:
            return None
        reason = (
            f"{draft.era} ignores `consecutiveErrors`; what it counted (502, 503, 504) is "
            f"`{right}` today. To count every 5xx, write consecutive5xxErrors"
        )
        return draft.replace(start, start + 1, [text.replace(place.name, right, 1)], reason)
    if place.owner.model is LoadBalancerSettings and place.entry.node.value == "LEAST_CONN":
        if draft.era.release < (1, 14):
            return None
        reason = "LEAST_CONN is called LEAST_REQUEST since 1.14"
        return draft.replace(
            start, start + 1, [text.replace("LEAST_CONN", "LEAST_REQUEST")], reason
        )
    return None
