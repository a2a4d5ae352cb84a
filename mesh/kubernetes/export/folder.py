"""The exported folder: base, overlays, and a page that says what was changed and how to run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.istio.eras import Era
from mesh.istio.problem import Problem
from mesh.istio.resource import Resource
from mesh.istio.written import dump_all
from mesh.kubernetes.convert import KUBERNETES, modernize
from mesh.kubernetes.export import overlays
from mesh.kubernetes.export.install import installation
from mesh.kubernetes.export.load import locust
from mesh.kubernetes.export.objects import IMAGE, applications
from mesh.topology import Topology

APPLICATIONS, ISTIO, LOCUST = "applications.yaml", "istio.yaml", "locust.yaml"
INSTALL = "istio-install.yaml"
_PAGE = """\
# {title} on a cluster

These manifests run the lab on Kubernetes with Istio (1.20 or newer) in place of the kit's own mesh.

1. Build the image in the kit's folder: `docker build -t {image}:{tag} -f compose/Dockerfile .`
2. Bring it to the cluster: `kind load docker-image {image}:{tag}`, `minikube image load {image}:{tag}`,
   or push it to your registry and put its name into `overlays/aks/kustomization.yaml`.
3. Install Istio with its {gateways}: `istioctl install -f istio-install.yaml`.
4. `kubectl apply -k overlays/kind` (or `overlays/aks`), then `kubectl -n {namespace} wait
   --for=condition=Available deployment --all`.
5. `kubectl -n istio-system port-forward service/istio-ingressgateway 8080:80`, and open
   http://127.0.0.1:8080/customer.
6. `grade lab N --target http://127.0.0.1:8080` grades the lab there (docs/kubernetes.md).
7. `kubectl -n mesh-lab-load port-forward service/locust-master 8089`, and open http://127.0.0.1:8089.
{world}
## What was changed for today's Istio

{notes}
"""


_WORLD = """
Outside of the mesh is the real world there, which the kit plays here ({names}). Put hosts of your
own in place of those that do not exist.
"""


@dataclass(frozen=True, slots=True)
class Manifests:
    """Files by their path in the folder; ``problems``: what could not be converted."""

    files: dict[str, str]
    notes: list[str]
    problems: list[Problem]

    def write(self, folder: Path) -> None:
        """Write all files; OSError when that fails."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def manifests(
    topology: Topology,
    resources: Sequence[Resource],
    era: Era,
    *,
    title: str,
    tag: str,
    locustfile: str = "",
) -> Manifests:
    """Return a lab as files for ``kubectl apply -k``; empty ``locustfile``: without Locust."""
    converted = modernize([each for each in resources if each.kind not in KUBERNETES], era)
    parts = {APPLICATIONS: applications(topology), ISTIO: converted.documents}
    if locustfile:
        parts[LOCUST] = locust(locustfile)
    files = {f"base/{name}": dump_all(documents) for name, documents in parts.items() if documents}
    names = [name.removeprefix("base/") for name in files]
    files["base/kustomization.yaml"] = dump_all([overlays.base(names)])
    files["overlays/kind/kustomization.yaml"] = dump_all([overlays.kind(tag)])
    aks = overlays.aks(tag)
    if not locustfile:
        del aks["patches"]
    files["overlays/aks/kustomization.yaml"] = dump_all([aks])
    notes = "\n".join(f"- {each}" for each in converted.notes) or "Nothing."
    outside = ", ".join(each.name for each in topology.world)
    files[INSTALL] = dump_all([installation()])
    files["README.md"] = _PAGE.format(
        title=title,
        image=IMAGE,
        tag=tag,
        namespace=topology.namespace,
        gateways="ingress and its egress gateway" if topology.egress_gateway else "ingress gateway",
        world=_WORLD.format(names=outside) if outside else "",
        notes=notes,
    )
    return Manifests(files, converted.notes, converted.problems)
