"""A cluster for the tests: a local mesh of real Envoys, seen only through kubectl's words.

``FakeCluster`` answers what the kit asks of kubectl in its formats: JSON objects of the Kubernetes
API on standard output, complaints on standard error, exit codes.  As in a cluster, ``apply`` returns before
anything is in force, logs come by and by with a proxy's own messages between them, and pods have addresses
that nobody here can reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import yaml

from mesh.envoy.admin import Admin, AdminError
from mesh.istio import era, has_errors, load_text, validate
from mesh.kubernetes.export.install import log_format
from mesh.testbed.base import ApplyError
from mesh.testbed.client import TestbedError
from mesh.testbed.local import LocalTestbed
from mesh.testbed.pods import LocalPod
from mesh.topology import ROOT_NAMESPACE, Topology
from tests.mesh.testbed.kubernetes.pod_network import PodNetwork

FIELDS = frozenset(log_format())
PROGRAM = Path(__file__).with_name("fake_kubectl.py")
FLUSH = 0.2
"""Seconds between two writes of a proxy's log, as Envoy's timer makes them."""
DENIED = 'admission webhook "validation.istio.io" denied the request: configuration is invalid:'


class Refusal(Exception):  # noqa: N818  what kubectl says
    """Ends a command with exit code 1."""


class FakeCluster:
    """The cluster; ``folder`` gets the socket and ``bin/kubectl``."""

    def __init__(self, topology: Topology, folder: Path, home: Path) -> None:
        self.topology = topology
        self.folder = folder
        self.faults: list[str] = []
        self.json_log = True
        self.said: list[list[str]] = []
        """Every command so far."""
        self._home = home
        self.bed = LocalTestbed(topology, engine="envoy", era="istio-current")
        self._changes: queue.Queue[Callable[[], object] | None] = queue.Queue()
        self._known: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._networks: dict[str, PodNetwork] = {}
        self._addresses: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> FakeCluster:
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
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(self.folder / "api"))
        self._server.listen(64)
        program = self.folder / "bin" / "kubectl"
        program.parent.mkdir()
        program.write_text(
            f"#!/bin/sh\nFAKE_CLUSTER={shlex.quote(str(self.folder / 'api'))} "
            f'exec {shlex.quote(sys.executable)} -S -E {shlex.quote(str(PROGRAM))} "$@"\n'
        )
        program.chmod(0o755)
        for target in (self._accept, self._change, self._loop.run_forever):
            thread = threading.Thread(target=target, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._changes.put(None)
        for network in self._networks.values():
            asyncio.run_coroutine_threadsafe(network.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join()
        self._loop.close()
        self.bed.stop()

    @property
    def path(self) -> str:
        """A PATH on which ``kubectl`` is this cluster's."""
        return f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _change(self) -> None:
        """What istiod does a moment after the API server has stored a change."""
        while (change := self._changes.get()) is not None:
            try:
                change()
            except (ApplyError, TestbedError) as problem:
                self.faults.append(str(problem))

    def _serve(self, client: socket.socket) -> None:
        head, fds, _, _ = socket.recv_fds(client, 4, 3)
        if len(fds) < 3:
            return
        words = json.loads(_exactly(client, int.from_bytes(head, "big")))
        self.said.append(words)
        source, out, err = (
            os.fdopen(fds[0], "r", encoding="utf-8"),
            os.fdopen(fds[1], "w", encoding="utf-8"),
            os.fdopen(fds[2], "w", encoding="utf-8"),
        )
        with client, source, out, err:
            try:
                code = Command(self, client, words, source, out, err).run()
                out.flush()
            except Refusal as refusal:
                print(refusal, file=err, flush=True)
                code = 1
            except BrokenPipeError:
                code = 1
            except Exception as fault:
                self.faults.append(f"{words}: {fault!r}")
                raise
            try:
                client.sendall(bytes([code]))
            except OSError:
                return

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


class Command:
    """One call of kubectl."""

    def __init__(
        self,
        cluster: FakeCluster,
        client: socket.socket,
        words: list[str],
        source: TextIO,
        out: TextIO,
        err: TextIO,
    ) -> None:
        self.cluster = cluster
        self.client = client
        self.source, self.out, self.err = source, out, err
        self.namespace = "default"
        if words[:1] == ["--namespace"]:
            self.namespace, words = words[1], words[2:]
        self.verb, self.words = words[0], words[1:]

    def run(self) -> int:
        """Do it; returns the exit code."""
        handler = getattr(self, f"do_{self.verb}", None)
        if handler is None:
            raise Refusal(f'error: unknown command "{self.verb}" for "kubectl"')
        return handler() or 0

    def option(self, name: str) -> str:
        """Take the value of an option out of the words."""
        if name in self.words:
            index = self.words.index(name)
            value = self.words[index + 1]
            del self.words[index : index + 2]
            return value
        return ""

    def flag(self, name: str) -> bool:
        if name in self.words:
            self.words.remove(name)
            return True
        return False

    def print(self, *lines: str) -> None:
        for line in lines:
            print(line, file=self.out)
        self.out.flush()

    def do_config(self) -> None:
        self.print("kind-mesh")

    def do_version(self) -> None:
        version = {"major": "1", "minor": "31", "gitVersion": "v1.31.2"}
        found = {"clientVersion": version, "kustomizeVersion": "v5.4.2", "serverVersion": version}
        self.print(json.dumps(found, indent=2))

    def do_get(self) -> None:
        assert self.option("-o") == "json"
        selector = self.option("-l")
        kind, *names = self.words
        if kind == "pods":
            found = [self.pod(each) for each in self.pods(selector)]
        elif kind == "deployments":
            found = self.deployments()
        elif kind == "service":
            if (self.namespace, names[0]) != (ROOT_NAMESPACE, self.cluster.topology.gateway):
                raise Refusal(f'Error from server (NotFound): services "{names[0]}" not found')
            self.print(json.dumps(self.service(names[0])))
            return
        else:
            found = self.cluster.listed(kind.split(","), self.namespace)
        self.print(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "items": found,
                    "kind": "List",
                    "metadata": {"resourceVersion": ""},
                },
                indent=4,
            )
        )

    def pods(self, selector: str) -> list[LocalPod]:
        listed = list(self.cluster.bed._running().pods.values())
        gateway = selector == "istio=ingressgateway"
        space = ROOT_NAMESPACE if gateway else self.namespace
        return [
            pod
            for pod in listed
            if (pod.pod is None) == gateway and not pod.outside and namespace_of(pod) == space
        ]

    def pod(self, pod: LocalPod) -> dict[str, Any]:
        containers = [{"name": "app", "image": "mesh-lab-kit:0.1.0"}] if pod.pod else []
        if pod.injected:
            containers.append({"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.28.0"})
        labels = dict(pod.pod.labels) if pod.pod else {"istio": "ingressgateway"}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": pod.name,
                "namespace": namespace_of(pod),
                "labels": {**labels, "pod-template-hash": "5d9c8f7b6d"},
            },
            "spec": {
                "containers": containers,
                "serviceAccountName": pod.pod.service_account if pod.pod else "default",
            },
            "status": {
                "phase": "Running",
                "podIP": self.cluster.address(pod),
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }

    def deployments(self) -> list[dict[str, Any]]:
        return [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": load.name, "namespace": service.namespace},
                "spec": {
                    "replicas": load.replicas,
                    "template": {
                        "metadata": {"labels": {"app": service.name, "version": load.version}}
                    },
                },
            }
            for service in self.cluster.topology.services
            for load in service.workloads
            if service.namespace == self.namespace
        ]

    def service(self, name: str) -> dict[str, Any]:
        port = int(self.cluster.bed.gateway_url.rpartition(":")[2])
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": ROOT_NAMESPACE},
            "spec": {"ports": [{"name": "http2", "port": port, "targetPort": 8080}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}},
        }

    def do_wait(self) -> None:
        for each in self.words:
            if each.startswith("deployment/"):
                self.print(f"deployment.apps/{each.partition('/')[2]} condition met")

    def do_apply(self) -> None:
        documents = [each for each in yaml.safe_load_all(self.source.read()) if each]
        if not documents:
            raise Refusal("error: no objects passed to apply")
        self.print(*self.cluster.apply(documents))

    def do_delete(self) -> None:
        if self.words[0] == "pod":
            name = self.words[1]
            self.cluster.pod(self.namespace, name)
            self.cluster.bed.kill_pod(name)
            print(
                "Warning: Immediate deletion does not wait for confirmation that the running "
                "resource has been terminated.",
                file=self.err,
            )
            self.print(f'pod "{name}" force deleted')
            return
        documents = [each for each in yaml.safe_load_all(self.source.read()) if each]
        self.print(*self.cluster.delete(documents))

    def do_rollout(self) -> None:
        action, what = self.words[0], self.words[1].partition("/")[2]
        if action == "restart":
            self.cluster.bed.restart(what)
            self.print(f"deployment.apps/{what} restarted")
        else:
            self.print(f'deployment "{what}" successfully rolled out')

    def do_scale(self) -> None:
        name = self.words[1]
        self.cluster.bed.scale(name, int(self.words[2].partition("=")[2]))
        self.print(f"deployment.apps/{name} scaled")

    def do_exec(self) -> int:
        index = self.words.index("--")
        command, self.words = self.words[index + 1 :], self.words[:index]
        given = self.flag("-i")
        container = self.option("-c")
        pod = self.cluster.pod(self.namespace, self.words[0])
        if container == "istio-proxy":
            return self.pilot_agent(pod, command)
        network = self.cluster.network(pod)
        process = subprocess.Popen(
            [sys.executable if command[0] == "python" else command[0], *command[1:]],
            stdin=self.source if given else subprocess.DEVNULL,
            stdout=self.out,
            stderr=self.err,
            env={"PATH": os.environ["PATH"], "http_proxy": f"http://127.0.0.1:{network.port}"},
        )
        threading.Thread(target=self.end_with_client, args=(process,), daemon=True).start()
        return process.wait() % 256

    def end_with_client(self, process: subprocess.Popen[bytes]) -> None:
        """Who ends kubectl ends what it runs."""
        with contextlib.suppress(OSError):
            self.client.recv(1)
        process.kill()

    def pilot_agent(self, pod: LocalPod, command: list[str]) -> int:
        if command[:3] != ["pilot-agent", "request", "GET"] or not pod.injected:
            print("command terminated with exit code 127", file=self.err)
            return 127
        try:
            status, body = Admin(pod.node.admin)._request("GET", f"/{command[3]}")
        except AdminError as problem:
            raise Refusal(f"Error: {problem}") from None
        assert status == 200, (status, body)
        self.print(body.decode())
        return 0

    def do_logs(self) -> int:
        follow, whole = self.flag("--follow"), not self.flag("--tail=0")
        container = self.option("-c")
        pod = self.cluster.pod(self.namespace, self.words[0])
        assert follow
        path = pod.journal if container == "app" else pod.folder / "access.jsonl"
        offset = 0 if whole or not path.exists() else path.stat().st_size
        if container == "istio-proxy":
            self.print(
                "2026-01-05T10:00:00.000000Z\tinfo\txdsproxy\tconnected to upstream XDS server"
            )
        self.client.settimeout(FLUSH)
        path.touch()
        with path.open(encoding="utf-8") as file:
            file.seek(offset)
            while self.there():
                if container == "istio-proxy":
                    try:
                        Admin(pod.node.admin).reopen_logs()
                    except AdminError:
                        return 0  # the pod has ended
                for line in self.lines(file):
                    self.print(self.shown(line) if container == "istio-proxy" else line)
        return 0

    def there(self) -> bool:
        """Whether kubectl still runs, once FLUSH seconds are over."""
        try:
            return bool(self.client.recv(1))
        except TimeoutError:
            return True
        except OSError:
            return False

    def lines(self, file: TextIO) -> list[str]:
        """Return the lines that have come; one without an end is left for the next time."""
        found = []
        while True:
            place = file.tell()
            line = file.readline()
            if not line.endswith("\n"):
                file.seek(place)
                return found
            found.append(line.rstrip("\n"))

    def shown(self, line: str) -> str:
        """A record as Istio writes it."""
        record = {key: value for key, value in json.loads(line).items() if key in FIELDS}
        if self.cluster.json_log:
            return json.dumps(record, separators=(",", ":"))
        return f'[{record["start_time"]}] "{record["method"]} {record["path"]} HTTP/1.1"'


def namespace_of(pod: LocalPod) -> str:
    """Where a pod is: a cluster's gateway is Istio's."""
    return pod.node.namespace if pod.pod else ROOT_NAMESPACE


def _exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += client.recv(count - len(data))
    return data


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
