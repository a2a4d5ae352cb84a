"""Configs: the applied resources, and the shelves on which the translation finds them.

istiod indexes what is applied once for a push (istio/istio ``pilot/pkg/model/push_context.go``:
VirtualServices by gateway, DestinationRules by namespace and host).  Here every resource lies on
shelves with names, such as ``("PeerAuthentication", "tutorial")``, and a change moves that resource
only.  To look at a shelf is to depend on it (``mesh.pilot.memo``); a change returns the names of
the shelves that it touched, so nobody keeps lists of who depends on whom.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from mesh.istio import gateway_api
from mesh.istio.models import gateway_api as api
from mesh.istio.models.destination_rule import DestinationRule
from mesh.istio.models.service_entry import ServiceEntry
from mesh.istio.models.virtual_service import VirtualService
from mesh.pilot.memo import note
from mesh.pilot.store import Key, key_of
from mesh.pilot.translate import delegate, names
from mesh.pilot.translate.destination_rule import counts_labels
from mesh.pilot.translate.routing import Config, Routing

Shelf = tuple[str, ...]
ANY = "*"
RULES, RULES_WITH_LABELS, ENTRIES = "rules of", "rules with labels", "entries of"
ROUTES, ROUTES_OF, ROUTES_AT, ROUTES_TO = "routes", "routes of", "routes at", "routes to"
GATEWAY_API = "Gateway API"


@dataclass(frozen=True, slots=True)
class Change[C: Config]:
    """What an update did: the shelves it touched, and what was there before (with its place)."""

    shelves: frozenset[Shelf]
    before: tuple[tuple[Key, C | None, int], ...]


@dataclass(slots=True)
class _Shelves:
    """Things by key, each with its place in the order, on all its shelves."""

    _on: dict[Key, tuple[Shelf, ...]] = field(default_factory=dict)
    _things: dict[Shelf, dict[Key, tuple[Any, Any]]] = field(default_factory=dict)

    def put(self, key: Key, place: Any, thing: object, shelves: Iterable[Shelf]) -> set[Shelf]:
        touched = self.take(key)
        self._on[key] = tuple(shelves)
        for each in self._on[key]:
            self._things.setdefault(each, {})[key] = (place, thing)
        return touched | set(self._on[key])

    def take(self, key: Key) -> set[Shelf]:
        found = self._on.pop(key, ())
        for each in found:
            del self._things[each][key]
            if not self._things[each]:
                del self._things[each]
        return set(found)

    def look(self, shelf: Shelf) -> list[tuple[Any, Any]]:
        note(shelf)
        return sorted(self._things.get(shelf, {}).values(), key=lambda each: each[0])


@dataclass(slots=True)
class Configs[C: Config]:
    """All resources by key, in the order in which they were applied."""

    by_key: dict[Key, C] = field(default_factory=dict)
    converted: gateway_api.Converted = field(default_factory=lambda: gateway_api.Converted({}, ()))
    _places: dict[Key, int] = field(default_factory=dict)
    _next: int = 0
    _shelves: _Shelves = field(default_factory=_Shelves)
    _split: set[Key] = field(default_factory=set)
    """VirtualServices that are delegates, or have some."""
    _gateway_api: set[Key] = field(default_factory=set)

    @classmethod
    def of(cls, resources: Iterable[C]) -> Configs[C]:
        """Return an index of these resources."""
        found = cls()
        found.update(resources)
        return found

    def __iter__(self) -> Iterator[C]:
        """In the order in which they were applied."""
        return (self.by_key[key] for key in sorted(self.by_key, key=self._places.__getitem__))

    def update(self, new: Iterable[C], gone: Iterable[Key] = ()) -> Change[C]:
        """Add or replace resources, and remove others.  A replaced one keeps its place."""
        steps: list[tuple[Key, C | None, int]] = [(key, None, 0) for key in gone]
        for config in new:
            self._next += 1
            key = key_of(config)
            steps.append((key, config, self._places.get(key, self._next)))
        return self._do(steps)

    def undo(self, change: Change[C]) -> Change[C]:
        """Take an update back."""
        return self._do(list(reversed(change.before)))

    def of_kind(self, kind: str, *namespaces: str) -> list[Config]:
        """Return the resources of a kind, of all namespaces or of these, in their order."""
        return self._look([(kind, each) for each in namespaces] if namespaces else [(kind,)])

    def entries(self, host: str) -> list[Config]:
        """Return the ServiceEntries of a host."""
        return self._look([(ENTRIES, host)])

    def rules(self, namespace: str, host: str) -> list[Config]:
        """Return the DestinationRules that cover a host; of all namespaces without one."""
        found = self._look([(RULES, namespace, host), (RULES, namespace, ANY)])
        return [
            each
            for each in found
            if names.covers(names.resolve(each.spec.host, each.namespace), host)
        ]

    def rules_count_labels(self) -> bool:
        """Whether some DestinationRule depends on its caller's labels."""
        return bool(self._look([(RULES_WITH_LABELS,)]))

    def routes(self) -> list[Routing]:
        """Return the VirtualServices that sidecars obey."""
        return self._look([(ROUTES,)])

    def routes_in(self, namespaces: Iterable[str], hosts: Iterable[str]) -> list[Routing]:
        """Return those of some namespaces, and those that may cover some hosts."""
        shelves: list[Shelf] = [(ROUTES, each) for each in namespaces]
        shelves += [(ROUTES_OF, each) for each in (*hosts, ANY)]
        return self._look(shelves)

    def routes_of(self, host: str) -> list[Routing]:
        """Return those that may cover a host: with its name, or any with a wildcard."""
        return self._look([(ROUTES_OF, host), (ROUTES_OF, ANY)])

    def routes_at(self, gateway: str) -> list[Routing]:
        """Return the VirtualServices that name a Gateway (``namespace/name``)."""
        return self._look([(ROUTES_AT, gateway)])

    def routes_to(self, host: str) -> list[Routing]:
        """Return the VirtualServices of sidecars with ``host`` among their destinations."""
        return self._look([(ROUTES_TO, host)])

    def gateway_api(self) -> gateway_api.Converted:
        """Return what the Gateway API's Gateways and HTTPRoutes are in Istio's words."""
        note((GATEWAY_API,))
        return self.converted

    def _look(self, shelves: list[Shelf]) -> list[Any]:
        found = [each for shelf in shelves for each in self._shelves.look(shelf)]
        if len(shelves) > 1:
            found = list({id(thing): (place, thing) for place, thing in found}.values())
            found.sort(key=lambda each: cast(int, each[0]))
        return [thing for _, thing in found]

    def _do(self, steps: list[tuple[Key, C | None, int]]) -> Change[C]:
        before: list[tuple[Key, C | None, int]] = []
        touched: set[Shelf] = set()
        routed: list[tuple[Key, Config | None]] = []
        converted = False
        for key, config, place in steps:
            old = self.by_key.get(key)
            if old is None and config is None:
                continue
            before.append((key, old, self._places.get(key, 0)))
            touched |= self._shelves.take(key)
            if config is None:
                del self.by_key[key], self._places[key]
            else:
                self.by_key[key], self._places[key] = config, place
                touched |= self._shelves.put(key, place, config, _shelves_of(config))
            if any(isinstance(each and each.spec, VirtualService) for each in (old, config)):
                routed.append((key, config))
            if any(each is not None and _of_gateway_api(each) for each in (old, config)):
                converted = True
                (self._gateway_api.add if config is not None else self._gateway_api.discard)(key)
        touched |= self._reroute(routed)
        touched |= self._convert() if converted else set()
        return Change(frozenset(touched), tuple(before))

    def _reroute(self, changed: list[tuple[Key, Config | None]]) -> set[Shelf]:
        """Bring what VirtualServices say up to date; delegates change what their roots say."""
        touched: set[Shelf] = set()
        split = False
        for key, config in changed:
            split |= key in self._split
            self._split.discard(key)
            touched |= self._shelves.take(_derived(key))
            if config is None:
                continue
            if _is_split(config.spec):
                split = True
                self._split.add(key)
            else:
                routing = Routing(config.name, config.namespace, config.spec)
                touched |= self._route(_derived(key), (0, self._places[key]), routing)
        if split:
            found = [self.by_key[key] for key in sorted(self._split, key=self._places.__getitem__)]
            for key in self._split:
                touched |= self._shelves.take(_derived(key))
            placed = [delegate.Placed(each.name, each.namespace, each.spec) for each in found]
            for place, each in enumerate(delegate.merge(placed)):
                routing = Routing(each.name, each.namespace, each.spec)
                key = ("VirtualService", each.namespace, each.name)
                touched |= self._route(_derived(key), (1, place), routing)
        return touched

    def _convert(self) -> set[Shelf]:
        """Convert the Gateway API's resources anew; only VirtualServices that differ move."""
        found = [self.by_key[key] for key in self._gateway_api]
        found.sort(key=lambda each: self._places[key_of(each)])
        old, self.converted = self.converted, gateway_api.convert(found)
        touched: set[Shelf] = {(GATEWAY_API,)} if old.gateways != self.converted.gateways else set()
        were, are = (
            {_converted_key(each): (place, each) for place, each in enumerate(which.routes)}
            for which in (old, self.converted)
        )
        for key in were.keys() - are.keys():
            touched |= self._shelves.take(key)
        for key, (place, each) in are.items():
            if were.get(key) != (place, each):
                routing = Routing(each.name, each.namespace, each.spec, each.origins)
                touched |= self._route(key, (2, place), routing)
        return touched

    def _route(self, key: Key, place: tuple[int, int], routing: Routing) -> set[Shelf]:
        return self._shelves.put(key, place, routing, _shelves_of_routing(routing))


def _shelves_of(config: Config) -> Iterator[Shelf]:
    yield (config.kind,)
    yield (config.kind, config.namespace)
    spec = config.spec
    if isinstance(spec, DestinationRule):
        host = names.resolve(spec.host, config.namespace)
        for namespace in (config.namespace, ""):
            yield (RULES, namespace, ANY if host.startswith(ANY) else host)
        if counts_labels(spec):
            yield (RULES_WITH_LABELS,)
    elif isinstance(spec, ServiceEntry):
        yield from ((ENTRIES, each.lower()) for each in spec.hosts)


def _shelves_of_routing(routing: Routing) -> Iterator[Shelf]:
    yield from {(ROUTES_AT, each) for each in routing.gateways}
    if routing.in_mesh:
        yield (ROUTES,)
        yield (ROUTES, routing.namespace)
        hosts = routing.hosts
        yield from {(ROUTES_OF, ANY if each.startswith(ANY) else each) for each in hosts}
        yield from ((ROUTES_TO, each) for each in routing.destinations)


def _is_split(spec: VirtualService) -> bool:
    return not spec.hosts or any(rule.delegate for rule in spec.http or [])


def _of_gateway_api(config: Config) -> bool:
    kinds = (api.KubernetesGateway, api.HTTPRoute, api.ReferenceGrant)
    return isinstance(config.spec, kinds) or config.kind == "Namespace"


def _derived(key: Key) -> Key:
    return (ROUTES, *key[1:])


def _converted_key(route: gateway_api.ConvertedRoute) -> Key:
    gateway, host = (route.spec.gateways or [""])[0], (route.spec.hosts or [""])[0]
    return (f"{GATEWAY_API} {gateway}", route.namespace, host)
