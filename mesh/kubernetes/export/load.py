"""Locust in the cluster: a master with its page, and workers that share the load.

They run outside the mesh (no sidecar), as visitors do, and come in at the ingress gateway.  The
users are those of the lab's locustfile, which the grader drives as well.
"""

from __future__ import annotations

from mesh.kubernetes.export.objects import (
    IMAGE,
    Document,
    container_security,
    namespace,
    pod_security,
)

NAMESPACE = "mesh-lab-load"
GATEWAY = "http://istio-ingressgateway.istio-system"
_FILE = "/load/locustfile.py"
_PORTS = {"web": 8089, "master": 5557}


def locust(locustfile: str, workers: int = 2) -> list[Document]:
    """Return the objects of a distributed Locust."""
    config: Document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "locustfile", "namespace": NAMESPACE},
        "data": {"locustfile.py": locustfile},
    }
    ports = [{"name": f"tcp-{name}", "port": port} for name, port in _PORTS.items()]
    service: Document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "locust-master", "namespace": NAMESPACE},
        "spec": {"selector": {"app": "locust-master"}, "ports": ports},
    }
    master = _deployment("locust-master", 1, ["--master", "--host", GATEWAY])
    worker = _deployment("locust-worker", workers, ["--worker", "--master-host", "locust-master"])
    return [namespace(NAMESPACE, injected=False), config, service, master, worker]


def _deployment(name: str, replicas: int, options: list[str]) -> Document:
    labels = {"app": name}
    container: Document = {
        "name": "locust",
        "image": IMAGE,
        "command": ["locust", "-f", _FILE, *options],
        "env": [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "volumeMounts": [{"name": "load", "mountPath": "/load", "readOnly": True}],
        "resources": {
            "requests": {"cpu": "250m", "memory": "128Mi"},
            "limits": {"memory": "512Mi"},
        },
        "securityContext": container_security(),
    }
    if name == "locust-master":
        container["ports"] = [
            {"name": each, "containerPort": port} for each, port in _PORTS.items()
        ]
        container["readinessProbe"] = {"tcpSocket": {"port": _PORTS["master"]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "securityContext": pod_security(),
                    "containers": [container],
                    "volumes": [{"name": "load", "configMap": {"name": "locustfile"}}],
                },
            },
        },
    }
