"""DestinationRule: which of several rules for a host a caller obeys.

istiod looks in three places, and the first that has a rule for the host decides: the caller's
namespace, the service's, the root namespace (``istio-system``).  In each the most specific host
wins (the name, then the longest ``*.suffix``).  A rule of another namespace counts when it is
exported to the caller (``exportTo``); rules of one place with the same host are merged: the first
``trafficPolicy``, all subsets.  ``workloadSelector`` keeps a rule to some callers of its namespace.
Source: istio/istio ``pilot/pkg/model/push_context.go`` (destinationRule, SetDestinationRules).
Shown by ``meshctl proxy-config cluster POD`` (DESTINATION RULE).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mesh.istio.models.destination_rule import DestinationRule, Subset, TrafficPolicy
from mesh.pilot.translate import export_to, names
from mesh.topology import ROOT_NAMESPACE

Table = dict[str, list["Rule"]]
"""Rules by host."""


@dataclass(frozen=True, slots=True)
class Rule:
    """DestinationRules of one host, merged; ``selector`` are the labels of the callers it is for."""

    host: str
    namespace: str
    name: str
    policy: TrafficPolicy | None
    subsets: tuple[Subset, ...]
    exported: frozenset[str] = frozenset({export_to.PUBLIC})
    selector: tuple[tuple[str, str], ...] = ()

    def subset(self, name: str) -> Subset | None:
        """Return the subset of that name."""
        return next((each for each in self.subsets if each.name == name), None)


@dataclass(slots=True)
class DestinationRules:
    """The tables: for callers of a namespace, and what a namespace exports."""

    local: dict[str, Table] = field(default_factory=dict)
    exported: dict[str, Table] = field(default_factory=dict)

    def add(self, name: str, namespace: str, spec: DestinationRule) -> None:
        """Enter one more; it is later than all before."""
        selector = spec.workload_selector
        labels = tuple(sorted(((selector.match_labels if selector else None) or {}).items()))
        rule = Rule(
            names.resolve(spec.host, namespace),
            namespace,
            name,
            spec.traffic_policy,
            tuple(spec.subsets or ()),
            export_to.namespaces(spec.export_to, namespace),
            labels,
        )
        if rule.exported & {export_to.PUBLIC, namespace}:
            _enter(self.local.setdefault(namespace, {}), rule)
        if not export_to.private(spec.export_to, namespace):
            _enter(self.exported.setdefault(namespace, {}), rule)

    def find(
        self, host: str, owner: str, client: str, labels: Mapping[str, str] | None = None
    ) -> Rule | None:
        """Return the rule for ``host``, a service of ``owner``, at a caller in ``client``.

        Without a client the service's namespace is asked, then the root's, then every other one.
        """
        for table in self._tables(owner, client):
            best = names.most_specific(table, host)
            if best is None:
                continue
            seen = [each for each in table[best] if _seen(each, client)]
            if seen:
                return _chosen(seen, labels or {})
        return None

    def _tables(self, owner: str, client: str) -> Iterator[Table]:
        if client:
            yield self.local.get(client, {})
        yield self.exported.get(owner, {})
        yield self.exported.get(ROOT_NAMESPACE, {})
        if not client:
            yield from self.local.values()


def counts_labels(spec: DestinationRule) -> bool:
    """True when a caller's labels count: by a workloadSelector, or a failoverPriority."""
    selector = spec.workload_selector
    if selector is not None and selector.match_labels:
        return True
    policies = [spec.traffic_policy, *(each.traffic_policy for each in spec.subsets or [])]
    balancers = [each.load_balancer for each in policies if each is not None]
    for policy in policies:
        ports = (policy.port_level_settings or []) if policy is not None else []
        balancers += [each.load_balancer for each in ports]
    places = [each.locality_lb_setting for each in balancers if each is not None]
    return any(each is not None and each.failover_priority for each in places)


def _seen(rule: Rule, client: str) -> bool:
    return not client or rule.namespace == client or bool(rule.exported & {"*", client})


def _chosen(rules: Iterable[Rule], labels: Mapping[str, str]) -> Rule | None:
    """Return the first rule that selects the caller by its labels, else the first for everybody."""
    found: Rule | None = None
    for rule in rules:
        if rule.selector and set(rule.selector) <= labels.items():
            return rule
        if not rule.selector and found is None:
            found = rule
    return found


def _enter(table: Table, new: Rule) -> None:
    rules = table.setdefault(new.host, [])
    for number, old in enumerate(rules):
        if (old.exported, old.selector) == (new.exported, new.selector):
            known = {each.name for each in old.subsets}
            more = tuple(each for each in new.subsets if each.name not in known)
            rules[number] = Rule(
                old.host,
                old.namespace,
                old.name,
                old.policy or new.policy,
                (*old.subsets, *more),
                old.exported,
                old.selector,
            )
            return
    rules.append(new)
