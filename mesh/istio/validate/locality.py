"""The rules of ``loadBalancer.localityLbSetting``: shares of 100, places that do not overlap.

Source: istio/istio ``pkg/config/validation/agent/validation.go`` ValidateLocalityLbSetting,
validateLocalities.
"""

from __future__ import annotations

from collections.abc import Iterable

from mesh.istio.models.destination_rule import LocalityLoadBalancerSetting
from mesh.istio.validate.findings import Findings, Steps

_TOPOLOGY = (
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
)


def check_locality(
    setting: LocalityLoadBalancerSetting, outlier: object, path: Steps, found: Findings
) -> None:
    """Check a setting; ``outlier`` is the outlier detection beside it, None for none."""
    if setting.distribute and setting.failover:
        text = "can not simultaneously specify 'distribute' and 'failover'"
        found.error(path, text, "Keep one of the two.")
        return
    for label in setting.failover_priority or []:
        if setting.failover and label in _TOPOLOGY:
            text = (
                f"can not simultaneously set 'failover' and topology label '{label}' in "
                "'failover_priority'"
            )
            found.error((*path, "failoverPriority"), text)
            return
    for index, each in enumerate(setting.distribute or []):
        here = (*path, "distribute", index, "to")
        shares = each.to or {}
        if any(not 0 < weight <= 100 for weight in shares.values()):
            found.error(here, "locality weight must be in range [1, 100]")
            return
        if sum(shares.values()) != 100:
            text = f"total locality weight {sum(shares.values())} != 100"
            found.error(here, text, "Let the shares of a place add up to 100.")
            return
        found.check(here, _places_error(shares))
    from_ = [each.from_ or "" for each in setting.distribute or []]
    found.check((*path, "distribute"), _places_error(from_))
    if setting.failover and outlier is None and setting.enabled is not False:
        text = "outlier detection policy must be provided for failover"
        found.warning((*path, "failover"), text, "Add `outlierDetection:`.")
    for index, pair in enumerate(setting.failover or []):
        here = (*path, "failover", index)
        places = (pair.from_ or "") + (pair.to or "")
        if pair.from_ == pair.to:
            found.error(here, "locality lb failover settings must specify different regions")
        if "/" in places or "*" in places:
            found.error(here, "locality lb failover only specify region")


def _places_error(places: Iterable[str]) -> str:
    """Say what is wrong with places of one list, ``""`` when nothing is."""
    seen: list[tuple[str, ...]] = []
    for text in places:
        if "*" in text and (text.count("*") > 1 or not text.endswith("*")):
            return f"locality {text} wildcard '*' number can not exceed 1 and must be in the end"
        parts = tuple(text.split("/", 2))
        if "" in parts:
            return f"locality {text} must not contain empty region/zone/subzone info"
        if parts[-1] == "*":  # what is left out stands for everything
            parts = parts[:-1]
        for other in seen:
            size = min(len(parts), len(other))
            if not parts and other:
                continue  # everything else
            if parts[:size] == other[:size]:
                return f"locality {text} overlap with previous specified ones"
        seen.append(parts)
    return ""
