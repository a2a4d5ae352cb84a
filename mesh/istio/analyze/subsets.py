"""IST0173, IST0174, KIT0110: subsets that select no pod, hosts nobody runs, policies never used.

A subset is a set of labels; with a typing error in one it is empty, and a route to it is
503 ``no healthy upstream`` (flag UH).  A policy on a subset works only for routes that name this
subset: without one, the circuit breaker on it breaks nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.problem import Level, Problem

_OF_NODES = ("topology.kubernetes.io/", "topology.istio.io/", "kubernetes.io/hostname")


def subsets(context: Context) -> Iterator[Problem]:
    """Check every DestinationRule's host, subsets and the policies on subsets."""
    for resource, spec, host in context.destination_rules():
        if context.knows_services and not context.known_hosts.meets(host):
            yield resource.problem(
                "IST0174",
                Level.WARNING,
                f"The host {spec.host} defined in the DestinationRule does not match any services "
                "in the mesh.",
                "spec.host",
                expected=context.services_text,
                hint=f"It stands for {host}: is the service of that name in that namespace?",
            )
            continue
        for index, subset in enumerate(spec.subsets or ()):
            labels = _of_pods(subset.labels or {})
            if context.pods_of(host, labels) == 0 and context.pods_of(host):
                yield resource.problem(
                    "IST0173",
                    Level.ERROR,
                    f"The Subset {subset.name} defined in the DestinationRule does not select any "
                    "pods. Which may lead to 503 UH (NoHealthyUpstream).",
                    f"spec.subsets[{index}].labels",
                    hint="Compare with the labels of the pods "
                    f"(kubectl get pods --show-labels): {_labels(context, host)}.",
                )


def _of_pods(labels: dict[str, str]) -> dict[str, str]:
    """Leave out the labels that pods get from the node on which they run."""
    return {
        key: value for key, value in labels.items() if not (value and key.startswith(_OF_NODES))
    }


def unused_subset_policies(context: Context) -> Iterator[Problem]:
    """Check that the policy of each subset has a route that leads to it."""
    for each in context.policies:
        if each.subset is None or context.routes_to(each.host, each.subset.name):
            continue
        yield each.resource.problem(
            "KIT0110",
            Level.WARNING,
            f"no route names the subset {each.subset.name}, so its trafficPolicy is never in force",
            each.path,
            hint=f"Add a VirtualService whose route has `subset: {each.subset.name}`, or move the "
            "policy up to `spec.trafficPolicy`, where it holds for the whole host.",
        )


def _labels(context: Context, host: str) -> str:
    namespace = host.split(".")[1] if host.count(".") >= 2 else ""
    name = host.split(".")[0]
    groups = [
        group
        for group in context.pods.by_namespace.get(namespace, ())
        if group.labels.get("app") == name
    ]
    return "; ".join(
        ",".join(f"{key}={value}" for key, value in sorted(group.labels.items()))
        for group in groups[:5]
    )
