"""A cluster for the tests: a local mesh of real Envoys, seen only through kubectl's words.

``FakeCluster`` answers what the kit asks of kubectl in its formats (``fake_api``, ``fake_call``).  As in
a cluster, ``apply`` returns before anything is in force, logs come by and by with a proxy's own messages
between them, and pods have addresses that nobody here can reach.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from mesh.istio import era, has_errors, load_text, validate
from mesh.testbed.base import ApplyError
from mesh.testbed.client import TestbedError
from mesh.testbed.local import LocalTestbed
from mesh.testbed.pods import LocalPod
from mesh.topology import Topology
from tests.mesh.testbed.kubernetes.fake_api import FakeApi, Refusal
from tests.mesh.testbed.kubernetes.fake_call import ClusterCall, namespace_of
from tests.mesh.testbed.kubernetes.pod_network import PodNetwork

DENIED = 'admission webhook "validation.istio.io" denied the request: configuration is invalid:'


class FakeCluster(FakeApi):
    """The cluster; ``folder`` gets the socket and ``bin/kubectl``."""

    call = ClusterCall

    def __init__(self, topology: Topology, folder: Path, home: Path) -> None:
        super().__init__(folder)
        self.topology = topology
        self.json_log = True
        self._home = home
        self.bed = LocalTestbed(topology, engine="envoy", era="istio-current")
        self._changes: queue.Queue[Callable[[], object] | None] = queue.Queue()
        self._known: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._networks: dict[str, PodNetwork] = {}
        self._addresses: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        before = os.environ.get("MESH_LAB_HOME")
        os.environ["MESH_LAB_HOME"] = str(self._home)
        try:
            self.bed.start()
        finally:
            os.environ.pop("MESH_LAB_HOME")
            if before is not None:
                os.environ["MESH_LAB_HOME"] = before
        for row in self.bed.pilot.resources():
            document = yaml.safe_load(row["text"])
            self._known[_key(document)] = document
        for target in (self._change, self._loop.run_forever):
            thread = threading.Thread(target=target, daemon=True)
            thread.start()
            self._threads.append(thread)
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._changes.put(None)
        for network in self._networks.values():
            asyncio.run_coroutine_threadsafe(network.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join()
        self._loop.close()
        self.bed.stop()

    def _change(self) -> None:
        """What istiod does a moment after the API server has stored a change."""
        while (change := self._changes.get()) is not None:
            try:
                change()
            except (ApplyError, TestbedError) as problem:
                self.faults.append(str(problem))

    # What the API server knows.

    def pod(self, namespace: str, name: str) -> LocalPod:
        """Return a pod by its exact name."""
        found = self.bed._running().pods.get(name)
        if found is None or namespace_of(found) != namespace:
            raise Refusal(f'Error from server (NotFound): pods "{name}" not found')
        return found

    def address(self, pod: LocalPod) -> str:
        """Return the address of a pod in the cluster."""
        return self._addresses.setdefault(pod.name, f"10.244.0.{len(self._addresses) + 5}")

    def network(self, pod: LocalPod) -> PodNetwork:
        """Return the network of a pod."""
        if pod.name not in self._networks:
            made = PodNetwork(pod, self._resolve)
            asyncio.run_coroutine_threadsafe(made.start(), self._loop).result()
            self._networks[pod.name] = made
        return self._networks[pod.name]

    def _resolve(self, host: str, port: int) -> int:
        for pod in list(self.bed._running().pods.values()):
            if pod.pod is None:
                continue
            names = (pod.pod.service, f"{pod.pod.service}.{pod.pod.namespace}.svc.cluster.local")
            if (host == self.address(pod) or host in names) and port in pod.pod.ports:
                return pod.pod.ports[port]
        raise OSError(f"no route to {host}:{port}")

    def apply(self, documents: Sequence[dict[str, Any]]) -> list[str]:
        """Store documents, and let them come into force later; returns kubectl's lines."""
        told = []
        for each in documents:
            self._check(each)
            key = _key(each)
            word = "created" if key not in self._known else "configured"
            told.append(f"{_short(each)} {word if self._known.get(key) != each else 'unchanged'}")
            self._known[key] = each
        text = yaml.safe_dump_all(documents, sort_keys=False)
        self._changes.put(lambda: self.bed.apply([("cluster.yaml", text)]))
        return told

    def delete(self, documents: Sequence[dict[str, Any]]) -> list[str]:
        """Remove documents, as ``apply`` stores them."""
        keys = [_key(each) for each in documents if self._known.pop(_key(each), None)]
        applied = [(kind, space, name) for kind, space, name in keys]
        self._changes.put(lambda: self.bed.delete(applied))
        return [f'{_short(each)} "{each["metadata"]["name"]}" deleted' for each in documents]

    def listed(self, kinds: Sequence[str], namespace: str) -> list[dict[str, Any]]:
        """Return the stored documents of kinds, as the API server gives them back."""
        wanted = {kind.partition(".")[0] for kind in kinds}
        return [
            {**each, "metadata": {**each["metadata"], "uid": "0", "resourceVersion": "7"}}
            for (kind, space, _), each in self._known.items()
            if space == namespace and _plural(kind) in wanted
        ]

    def _check(self, document: dict[str, Any]) -> None:
        """Istio's admission webhook, which asks the same rules as the kit."""
        text = yaml.safe_dump(document, sort_keys=False)
        loaded = load_text(text, "STDIN", era=era("istio-current"))
        problems = [*loaded.problems, *validate(loaded.resources, era("istio-current"))]
        if has_errors(problems):
            first = next(each for each in problems if str(each.level) == "error")
            raise Refusal(
                f'Error from server: error when creating "STDIN": {DENIED} {first.message}'
            )


def _key(document: dict[str, Any]) -> tuple[str, str, str]:
    meta = document["metadata"]
    return document["kind"], meta.get("namespace", "default"), meta["name"]


def _plural(kind: str) -> str:
    word = kind.lower()
    if word.endswith("y"):
        return f"{word[:-1]}ies"
    return f"{word}s"


def _short(document: dict[str, Any]) -> str:
    group = document["apiVersion"].partition("/")[0]
    return f"{document['kind'].lower()}.{group}/{document['metadata']['name']}"
