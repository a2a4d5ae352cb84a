"""Grading on a cluster: ``make lab-N RUNTIME=kubernetes``, or ``grade lab N --target URL``.

The lab runs there already, with the real Istio (``docs/kubernetes.md``).  What cannot be answered there is
told before the start where it is the whole lab, and in the verdict where it is a check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grader.lab import LabDefinition

if TYPE_CHECKING:
    from mesh.testbed.base import Testbed

KUBERNETES = "kubernetes"


def why_not(lab: LabDefinition) -> str:
    """Return why this lab, or this machine, cannot grade on a cluster; ``""`` when it can."""
    from mesh.istio.eras import era
    from mesh.testbed.client import TestbedError
    from mesh.testbed.kubernetes import kubectl
    from mesh.testbed.kubernetes.able import obstacle
    from mesh.testbed.load_topology import load_topology

    reason = obstacle(load_topology(lab.topology), era(lab.era))
    if reason:
        return (
            f"Lab {lab.number} cannot be graded on a cluster: {reason}. "
            f"`make lab-{lab.number}` grades it on the kit's own mesh."
        )
    try:
        kubectl.check(kubectl.Kubectl())
    except TestbedError as error:
        return f"RUNTIME=kubernetes cannot be used: {error}."
    return ""


def make_cluster(lab: LabDefinition, target: str) -> Testbed:
    """Return the lab on the cluster of kubectl's context, not looked at yet."""
    from mesh.testbed.kubernetes.testbed import KubernetesTestbed
    from mesh.testbed.load_topology import load_topology

    return KubernetesTestbed(load_topology(lab.topology), era=lab.era, target=target)
