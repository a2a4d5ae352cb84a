"""Istio's own rules about a resource, in Istio's own words, one file a kind."""

from __future__ import annotations

from mesh.istio.eras import Era
from mesh.istio.problem import Problem
from mesh.istio.resource import Resource


def validate(resources: list[Resource], era: Era) -> list[Problem]:
    """Return what Istio's validation says about each resource, in the order of the files."""
    return []
