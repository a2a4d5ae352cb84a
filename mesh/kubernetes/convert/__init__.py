"""Convert: a lab's resources, of whatever era, as what today's Istio takes.

One file a family: ``traffic`` (fields that were renamed, defaults of an era written out),
``authentication`` (Policy), ``rbac`` (ServiceRole), ``mixer`` (quotas, denier).  Every conversion
leaves a note; what has no equivalent is refused with a Problem that says what to do instead.
Shown by ``meshctl export kubernetes --lab N``.
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.istio.eras import Era
from mesh.istio.resource import Resource
from mesh.kubernetes.convert import authentication, mixer, rbac, traffic
from mesh.kubernetes.convert.converted import Converted

KUBERNETES = frozenset(
    [
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "Namespace",
        "Pod",
        "Secret",
        "Service",
        "ServiceAccount",
        "StatefulSet",
    ]
)
"""What a cluster itself runs; the rest is configuration of the mesh."""


def modernize(resources: Sequence[Resource], era: Era) -> Converted:
    """Return documents for today's Istio, the notes, and Problems of what cannot be converted."""
    done = Converted()
    for resource in resources:
        if resource.kind in traffic.KINDS:
            traffic.convert(resource, era, done)
        elif resource.kind in authentication.KINDS:
            authentication.convert(resource, done)
        elif resource.kind not in (*rbac.KINDS, *mixer.KINDS):
            traffic.take_over(resource, done)
    rbac.convert(resources, done)
    mixer.convert(resources, done)
    return done


__all__ = ["KUBERNETES", "Converted", "modernize"]
