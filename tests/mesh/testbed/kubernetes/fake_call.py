"""The calls of kubectl that a ``FakeCluster`` answers from its mesh: pods, logs, and Istio's resources."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

import yaml

from mesh.envoy.admin import Admin, AdminError
from mesh.kubernetes.export.install import log_format
from mesh.testbed.pods import LocalPod
from mesh.topology import ROOT_NAMESPACE
from tests.mesh.testbed.kubernetes.fake_api import Call, Refusal

if TYPE_CHECKING:
    from tests.mesh.testbed.kubernetes.fake_cluster import FakeCluster

FIELDS = frozenset(log_format())
FLUSH = 0.2
"""Seconds between two writes of a proxy's log, as Envoy's timer makes them."""


class ClusterCall(Call):
    """One call of kubectl."""

    @property
    def cluster(self) -> FakeCluster:
        """Who is asked."""
        return self.api

    def do_get(self) -> None:
        if self.words[0] == "configmap":
            super().do_get()
            return
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
        if self.words[0] == "configmap":
            super().do_delete()
            return
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
