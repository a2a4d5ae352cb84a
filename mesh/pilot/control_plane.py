"""ControlPlane: from "apply this YAML" to "it is in force at every sidecar".

istiod's job: keep services, pods and resources, translate them for every node when one of them
changes, push over ADS, and know who took it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from envoy_data_plane.envoy.config.core.v3 import Node

from mesh.citadel.citadel import Citadel
from mesh.istio import Era, Level, Problem, Resource, by_age, has_errors, load_text, validate
from mesh.istio.extension_providers import ExtensionProvider
from mesh.pilot import mixer_state, renewal
from mesh.pilot.ads import AdsServer, Outcome
from mesh.pilot.applied import Applied
from mesh.pilot.mixer_feed import MixerFeed
from mesh.pilot.names_feed import NamesFeed
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import PODS, SERVICE, Registry
from mesh.pilot.status import NodeStatus
from mesh.pilot.store import Key, Store, key_of
from mesh.pilot.trace import trace
from mesh.pilot.translate import Packed, Translator, envoy_filter, original_dst
from mesh.pilot.translate.configs import Change, Configs
from mesh.pilot.translate.view import (
    LOCAL,
    SYSTEM_ROOTS,
    MeshView,
    MixerSettings,
    OutboundPolicy,
)
from mesh.pilot.warming import still_warming
from mesh.topology import Pod

REGISTRY_WORDS = frozenset({SERVICE, PODS})
UNTRANSLATABLE = "KIT0201"
"""Code of a Problem that only the translation finds."""


@dataclass(slots=True)
class ControlPlane:
    """The state of one mesh.  ``deadline``: seconds until a change has to be in force."""

    store: Store
    era: Era
    namespace: str = "default"
    outbound_policy: OutboundPolicy | None = None
    world: dict[str, tuple[str, int]] = field(default_factory=dict)
    deadline: float = 10.0
    clock: Callable[[], float] = time.monotonic
    citadel: Citadel | None = None
    l5d_dtab: bool = False
    runtime: str = LOCAL
    system_roots: str = SYSTEM_ROOTS
    registry: Registry = field(default_factory=Registry)
    nodes: dict[str, ProxyNode] = field(default_factory=dict)
    snapshots: dict[str, Packed] = field(default_factory=dict)
    providers: tuple[ExtensionProvider, ...] = ()
    mixer_settings: MixerSettings = field(default_factory=MixerSettings)
    mixer: MixerFeed = field(default_factory=MixerFeed)
    names: NamesFeed = field(default_factory=NamesFeed)
    tapped: set[tuple[str, str]] = field(default_factory=set)
    ads: AdsServer = field(init=False)
    _configs: Configs[Resource] = field(default_factory=Configs)
    _translator: Translator | None = None
    _settings: object = None
    _touched: set[Hashable] = field(default_factory=set)
    """What was changed since the last push."""
    _due: set[str] = field(default_factory=set)
    """Nodes that have to be translated again."""
    _renewed: set[str] = field(default_factory=set)
    """Services that are called by other rules since the last change was in force."""
    _unproven: set[str] = field(default_factory=set)
    """Nodes of which nobody knows yet that nothing is warming."""
    _tables: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """What the DNS of each node answers."""
    _news: bool = True
    """Whether something changed that Mixer has to know."""
    _version: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.ads = AdsServer(self.identify)
        self._configs.update(self.store.load())

    def identify(self, node: Node) -> str | None:
        """Return the id of a registered node."""
        return node.id if node.id in self.nodes else None

    def spiffe_id(self, node_id: str) -> str | None:
        """Return the identity of a registered node."""
        node = self.nodes.get(node_id)
        return None if node is None else node.spiffe_id

    def find(self, name: str) -> ProxyNode | None:
        """Return a node by id, ``POD.NAMESPACE`` or ``POD``."""
        for node_id, node in self.nodes.items():
            if name in (node_id, node.name, node.pod):
                return node
        return None

    @property
    def resources(self) -> Mapping[Key, Resource]:
        """What is applied, by kind, namespace and name."""
        return self._configs.by_key

    @property
    def in_order(self) -> Iterable[Resource]:
        """What is applied, in the order in which it was."""
        return self._configs

    def push(self) -> None:
        """Translate anew what depends on what changed since the last push, and offer it.

        ValueError when something cannot be translated; then nothing is offered, and the next push
        tries again.
        """
        self._version += 1
        registered = self.registry.take_changed()
        self._news |= any(each[0] in REGISTRY_WORDS for each in registered)
        translator = self._current_translator()
        self._due |= translator.forget(self._touched | registered)
        self._touched = set()
        with _without_collector():
            made = {
                key: translator.snapshot(self.nodes[key]) for key in self._due if key in self.nodes
            }
        gone = [key for key in self._due if key not in self.nodes]
        for key in gone:
            translator.remove(key)
            self.snapshots.pop(key, None)
        self._renewed |= renewal.concerned(self.nodes, self.snapshots, made)
        self.snapshots |= made
        offered = {key: (self.nodes[key].name, made[key]) for key in made}
        self._unproven.update(self.ads.publish(str(self._version), offered, gone))
        if any(self.nodes[key].captured for key in made) or gone:
            self._tables = {key: each for key, each in self._tables.items() if key not in gone}
            self._tables |= {
                key: translator.names(self.nodes[key]) for key in made if self.nodes[key].captured
            }
            self.names.offer(self._tables)
        self._due = set()
        if self._news:
            self._news = False
            self.mixer.offer(self._version)

    def update(
        self, new: Iterable[Resource], gone: Iterable[Key] = (), era: Era | None = None
    ) -> None:
        """Add, replace and remove resources, and push.  ValueError: everything is as it was."""
        old_era, self.era = self.era, era or self.era
        change = self._configs.update(new, gone)
        self._note(change)
        try:
            self.push()
        except ValueError:
            self._note(self._configs.undo(change))
            self.era = old_era
            self.push()
            raise

    def _current_translator(self) -> Translator:
        """Return the translator; a new one, for all nodes, when the era or an option changed."""
        settings = (
            self.era,
            self.outbound_policy,
            self.world,
            self.l5d_dtab,
            self.runtime,
            self.providers,
            self.mixer_settings,
            self.system_roots,
        )
        if self._translator is None or settings != self._settings:
            self._settings = settings
            view = MeshView(
                self.registry,
                self._configs,
                self.era,
                self.outbound_policy,
                self.world,
                l5d_dtab=self.l5d_dtab,
                runtime=self.runtime,
                providers=self.providers,
                mixer=self.mixer_settings,
                system_roots=self.system_roots,
            )
            self._translator = Translator(view)
            self._due |= set(self.nodes)
            self._news = True
        return self._translator

    def _note(self, change: Change[Resource]) -> None:
        """Remember for the next push what an update of the resources touched."""
        self._touched |= change.shelves
        for key, old, _ in change.before:
            self._news |= any(map(mixer_state.concerns, (old, self.resources.get(key))))

    async def apply(
        self,
        documents: Sequence[tuple[str, str]],
        era: Era | None = None,
        keep: Collection[Key] | None = None,
    ) -> Applied:
        """Load, check and apply (file, text) documents; with an error nothing is applied.

        With ``keep`` the documents are the whole configuration: whatever else is applied and not
        among these keys is removed by the same push.
        """
        async with self._lock:
            began = self.clock()
            chosen = era or self.era
            problems: list[Problem] = []
            resources: list[Resource] = []
            for file, text in documents:
                loaded = load_text(text, file, era=chosen, namespace=self.namespace)
                problems += loaded.problems
                resources += loaded.resources
            problems += validate(resources, chosen)
            problems += original_dst.remarks(resources) if self.runtime == LOCAL else []
            problems += envoy_filter.remarks(resources)
            if has_errors(problems):
                return Applied(tuple(problems), seconds=self.clock() - began)
            gone: list[Key] = []
            if keep is not None:
                stays = {*keep, *map(key_of, resources)}
                gone = [key for key in self.resources if key not in stays]
            ranked = by_age(resources)
            try:
                self.update(ranked, gone, chosen)
            except ValueError as error:
                problems.append(Problem(UNTRANSLATABLE, Level.ERROR, str(error)))
                return Applied(tuple(problems), seconds=self.clock() - began)
            self.store.save(ranked, chosen.name)
            for key in gone:
                self.store.delete(key)
            outcome = await self._taken()
            return Applied(
                tuple(problems),
                tuple(each.full_name for each in resources),
                outcome.in_force,
                self.clock() - began,
                tuple(trace(each, resources) for each in outcome.nacks),
                outcome.reason,
            )

    async def delete(self, keys: Iterable[Key]) -> Applied:
        """Remove resources by (kind, namespace, name); those that do not exist are left out."""
        async with self._lock:
            began = self.clock()
            gone = [key for key in keys if key in self.resources]
            self.update((), gone)
            for key in gone:
                self.store.delete(key)
            outcome = await self._taken()
            return Applied(
                (),
                tuple(f"{kind} {namespace}/{name}" for kind, namespace, name in gone),
                outcome.in_force,
                self.clock() - began,
                outcome.nacks,
                outcome.reason,
            )

    def add_pods(self, pods: Iterable[tuple[ProxyNode | None, Pod | None]]) -> dict[str, str]:
        """Register nodes and the pods behind them; returns a bootstrap token for each new node.

        No node: a pod without a sidecar; no pod: a gateway, which is no endpoint of a service.
        """
        tokens: dict[str, str] = {}
        for node, pod in pods:
            if node is not None:
                if self.citadel is not None and node.id not in self.nodes:
                    tokens[node.id] = self.citadel.tokens.mint(node.id)
                self.nodes[node.id] = node
                self._due.add(node.id)
                self._news = True
            if pod is not None:
                self.registry.add_pod(pod)
        self.push()
        return tokens

    def remove_pods(self, names: Iterable[tuple[str, str]]) -> None:
        """Forget pods and their nodes by (name, namespace)."""
        for name, namespace in names:
            self.registry.remove_pod(name, namespace)
            gone = [k for k, n in self.nodes.items() if (n.pod, n.namespace) == (name, namespace)]
            for key in gone:
                del self.nodes[key]
                self._due.add(key)
                self._news = True
                if self.citadel is not None:
                    self.citadel.forget(key)
        self.push()

    async def drain_pods(self, names: Iterable[tuple[str, str]]) -> Outcome:
        """Take pods by (name, namespace) out of the load balancing; their sidecars stay connected.

        Returns once nobody sends them anything new, or after the deadline what is missing.
        """
        async with self._lock:
            gone = list(names)
            for name, namespace in gone:
                self.registry.drain(name, namespace)
            self.push()
            outcome = await self.in_force()
            for name, namespace in gone:
                self.registry.remove_pod(name, namespace)
            self.push()
            last = await self.in_force()
            return last if outcome.in_force else outcome

    async def _taken(self) -> Outcome:
        """Wait until a change is in force, then until no connection of before it is used any more."""
        outcome = await self.in_force()
        if outcome.in_force and self._renewed:
            for hostname in self._renewed:
                self.registry.renew(hostname)
            self._renewed = set()
            self.push()
            outcome = await self.in_force()
        return outcome

    async def in_force(
        self, nodes: Iterable[str] | None = None, timeout: float | None = None
    ) -> Outcome:
        """Wait until nodes have everything and nothing is warming.

        Without ``nodes``: all that are connected.  With them (ids), those have to connect first.
        """
        limit = self.deadline if timeout is None else timeout
        end = self.clock() + limit
        wanted = None if nodes is None else list(nodes)
        wrong = await self.mixer.wait(limit)
        outcome = await self.ads.in_force(wanted, limit, connected_only=nodes is None)
        if outcome.missing:
            return outcome
        if wrong:
            return replace(outcome, in_force=False, reason=wrong)
        late = await self.names.wait(wanted, max(end - self.clock(), 0.1))
        if late:
            named = tuple(self.nodes[each].name for each in late if each in self.nodes)
            reason = f"the DNS of {', '.join(named)} did not take the names within {limit:g} s."
            return replace(outcome, in_force=False, missing=named, reason=reason)
        chosen = self._unproven & self.nodes.keys() if wanted is None else set(wanted)
        connected = self.ads.connected()
        for node_id in sorted(chosen):
            node = self.nodes.get(node_id)
            if node is None or connected.get(node_id) != "envoy" or not node.admin_port:
                self._unproven.discard(node_id)
                continue
            wrong = await still_warming(node.admin, max(end - self.clock(), 0.1))
            if wrong:
                reason = (
                    f"{node.name} acknowledged the configuration, but {wrong} after {limit:g} s."
                )
                return replace(outcome, in_force=False, missing=(node.name,), reason=reason)
            self._unproven.discard(node_id)
        return outcome

    def mixer_state(self) -> dict[str, Any]:
        """Return what Mixer has to know: proxies, services, pods and the applied resources."""
        return mixer_state.state(
            self._version,
            self.era,
            self.namespace,
            self.nodes.values(),
            self.registry,
            self._configs,
        )

    def status(self) -> list[NodeStatus]:
        """Return the rows of ``proxy-status``."""
        return self.ads.status()


@contextmanager
def _without_collector() -> Iterator[None]:
    """Pause the garbage collector: a translation makes no cycles.

    It would look for some in the whole mesh again and again, a third of the time at 10,000 services.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
