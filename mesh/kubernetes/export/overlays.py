"""Kustomize overlays: what differs between a cluster on the desk and one in the cloud.

``kind`` (and minikube) runs an image that was loaded into the node and never pulls; ``aks`` pulls
from a registry and asks for two replicas of the load's workers more.  ``kubectl apply -k`` reads
them, nothing else is needed.
Source: kubectl.docs.kubernetes.io, Kustomize.
"""

from __future__ import annotations

import json
from typing import Any

from mesh.kubernetes.export.load import NAMESPACE
from mesh.kubernetes.export.objects import IMAGE

Document = dict[str, Any]
_API = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
REGISTRY = "REGISTRY.azurecr.io"


def base(files: list[str]) -> Document:
    """Return the kustomization that all overlays build upon."""
    return {**_API, "resources": files}


def kind(tag: str) -> Document:
    """Return the overlay for kind and minikube."""
    never = [
        {
            "op": "add",
            "path": "/spec/template/spec/containers/0/imagePullPolicy",
            "value": "Never",
        }
    ]
    return {
        **_API,
        "resources": ["../../base"],
        "images": [{"name": IMAGE, "newTag": tag}],
        "patches": [{"target": {"kind": "Deployment"}, "patch": _text(never)}],
    }


def aks(tag: str) -> Document:
    """Return the overlay for Azure Kubernetes Service; the registry's name is the user's."""
    more = [{"op": "replace", "path": "/spec/replicas", "value": 4}]
    target = {"kind": "Deployment", "name": "locust-worker", "namespace": NAMESPACE}
    return {
        **_API,
        "resources": ["../../base"],
        "images": [{"name": IMAGE, "newName": f"{REGISTRY}/{IMAGE}", "newTag": tag}],
        "patches": [{"target": target, "patch": _text(more)}],
    }


def _text(operations: list[Document]) -> str:
    return json.dumps(operations)
