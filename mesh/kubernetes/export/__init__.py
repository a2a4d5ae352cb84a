"""Export: a lab as manifests for a cluster with the real Istio.

``objects`` writes the applications, ``load`` Locust, ``overlays`` the differences between kind or
minikube and AKS; ``mesh.kubernetes.convert`` brings the Istio resources up to date.
"""

from mesh.kubernetes.export.folder import Manifests, manifests

__all__ = ["Manifests", "manifests"]
