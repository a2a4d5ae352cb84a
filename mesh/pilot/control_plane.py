"""ControlPlane: from "apply this YAML" to "it is in force at every sidecar".

istiod's job: keep services, pods and resources, translate them for every node when one of them
changes, push over ADS, and know who took it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from envoy_data_plane.envoy.config.core.v3 import Node

from mesh.citadel.citadel import Citadel
from mesh.istio import Era, Level, Problem, Resource, has_errors, load_text, validate
from mesh.istio.extension_providers import ExtensionProvider
from mesh.pilot.ads import AdsServer, Outcome
from mesh.pilot.mixer_feed import MixerFeed
from mesh.pilot.names_feed import NamesFeed
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.status import Nack, NodeStatus
from mesh.pilot.store import Key, Store, key_of
from mesh.pilot.trace import trace
from mesh.pilot.translate import Snapshot, Translator, envoy_filter, original_dst
from mesh.pilot.translate.view import (
    LOCAL,
    SYSTEM_ROOTS,
    MeshView,
    MixerSettings,
    OutboundPolicy,
)
from mesh.pilot.warming import still_warming
from mesh.pilot.wire import pod_to_dict, service_to_dict
from mesh.topology import Pod

MIXER_KINDS = frozenset({"Telemetry", "QuotaSpec", "QuotaSpecBinding"})
"""What Mixer reads, beside everything of the group config.istio.io."""

UNTRANSLATABLE = "KIT0201"
"""Code of a Problem that only the translation finds."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What ``apply`` and ``delete`` answer; ``seconds`` until in force."""

    problems: tuple[Problem, ...] = ()
    applied: tuple[str, ...] = ()
    in_force: bool = False
    seconds: float = 0.0
    nacks: tuple[Nack, ...] = ()
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "problems": [each.as_dict() for each in self.problems],
            "applied": list(self.applied),
            "in_force": self.in_force,
            "seconds": self.seconds,
            "nacks": [each.as_dict() for each in self.nacks],
            "reason": self.reason,
        }


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
    resources: dict[Key, Resource] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    providers: tuple[ExtensionProvider, ...] = ()
    mixer_settings: MixerSettings = field(default_factory=MixerSettings)
    mixer: MixerFeed = field(default_factory=MixerFeed)
    names: NamesFeed = field(default_factory=NamesFeed)
    tapped: set[tuple[str, str]] = field(default_factory=set)
    ads: AdsServer = field(init=False)
    _version: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.ads = AdsServer(self.identify)
        self.resources = {key_of(each): each for each in self.store.load()}

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

    def push(self) -> None:
        """Translate for every node and offer what changed."""
        self._version += 1
        view = MeshView(
            self.registry,
            tuple(self.resources.values()),
            self.era,
            self.outbound_policy,
            self.world,
            l5d_dtab=self.l5d_dtab,
            runtime=self.runtime,
            providers=self.providers,
            mixer=self.mixer_settings,
            system_roots=self.system_roots,
        )
        translator = Translator(view)
        self.snapshots = {key: translator.snapshot(node) for key, node in self.nodes.items()}
        offered = {key: (node.name, self.snapshots[key]) for key, node in self.nodes.items()}
        self.ads.publish(str(self._version), offered)
        self.names.offer(
            {key: translator.names(node) for key, node in self.nodes.items() if node.captured}
        )
        self.mixer.offer(self._version)

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
            before, old_era = dict(self.resources), self.era
            self.era = chosen
            new = {key_of(each): each for each in resources}
            gone = [] if keep is None else [key for key in before if key not in {*new, *keep}]
            self.resources = {key: before[key] for key in before if key not in gone} | new
            try:
                self.push()
            except ValueError as error:
                self.resources, self.era = before, old_era
                self.push()
                problems.append(Problem(UNTRANSLATABLE, Level.ERROR, str(error)))
                return Applied(tuple(problems), seconds=self.clock() - began)
            self.store.save(resources, chosen.name)
            for key in gone:
                self.store.delete(key)
            outcome = await self.in_force()
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
            for key in gone:
                del self.resources[key]
            self.push()
            for key in gone:
                self.store.delete(key)
            outcome = await self.in_force()
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
                if self.citadel is not None:
                    self.citadel.forget(key)
        self.push()

    async def drain_pods(self, names: Iterable[tuple[str, str]]) -> Outcome:
        """Take pods by (name, namespace) out of the load balancing; their sidecars stay connected.

        Returns once nobody sends them anything new, or after the deadline what is missing.
        """
        async with self._lock:
            gone = list(names)
            self.registry.draining |= {(namespace, name) for name, namespace in gone}
            self.push()
            outcome = await self.in_force()
            for name, namespace in gone:
                self.registry.remove_pod(name, namespace)
            self.push()
            last = await self.in_force()
            return last if outcome.in_force else outcome

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
        chosen = set(self.nodes if wanted is None else wanted)
        for node_id, engine in self.ads.connected().items():
            node = self.nodes.get(node_id)
            if node is None or node_id not in chosen or engine != "envoy" or not node.admin_port:
                continue
            wrong = await still_warming(node.admin, max(end - self.clock(), 0.1))
            if wrong:
                reason = (
                    f"{node.name} acknowledged the configuration, but {wrong} after {limit:g} s."
                )
                return replace(outcome, in_force=False, missing=(node.name,), reason=reason)
        return outcome

    def mixer_state(self) -> dict[str, Any]:
        """Return what Mixer has to know: proxies, services, pods and the applied resources."""
        return {
            "version": self._version,
            "era": self.era.name,
            "namespace": self.namespace,
            "nodes": [each.as_dict() for each in self.nodes.values()],
            "pods": [pod_to_dict(each) for each in self.registry.pods.values()],
            "services": [service_to_dict(each) for each in self.registry.services.values()],
            "resources": [
                {"file": each.source.file, "text": each.source.text, "namespace": each.namespace}
                for each in self.resources.values()
                if each.kind in MIXER_KINDS or each.api_version.startswith("config.istio.io/")
            ],
        }

    def status(self) -> list[NodeStatus]:
        """Return the rows of ``proxy-status``."""
        return self.ads.status()
