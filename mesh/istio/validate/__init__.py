"""Istio's own rules about a resource, in Istio's own words.

An admission webhook (``istiod``) and ``istioctl validate`` apply these before anything is in
force; what refers to *other* resources is analysis (``mesh.istio.analyze``).  Which rules hold
depends on the era.  Source: istio/istio ``pkg/config/validation``.
"""

from __future__ import annotations

from mesh.istio.eras import Era
from mesh.istio.models.kubernetes import NotRead
from mesh.istio.problem import Position, Problem
from mesh.istio.resource import Resource
from mesh.istio.validate.authorization_policy import check_no_trial
from mesh.istio.validate.checks import CHECKS, WITHOUT_EFFECT
from mesh.istio.validate.findings import NO_EFFECT, FileRoom, Findings


def validate(resources: list[Resource], era: Era) -> list[Problem]:
    """Return what Istio's validation says about each resource, in the order given.

    Errors carry IST0106, warnings IST0133, remarks of the kit INFO.
    """
    problems: list[Problem] = []
    rooms: dict[str, FileRoom] = {}
    for resource in resources:
        room = rooms.setdefault(resource.source.file, FileRoom())
        found = Findings(resource, era, room)
        check = CHECKS.get(type(resource.spec))
        if check is not None:
            check(resource.spec, found)
        if resource.kind != "AuthorizationPolicy":
            check_no_trial(found)
        if resource.kind in WITHOUT_EFFECT or isinstance(resource.spec, NotRead):
            text = f"{resource.kind}: accepted, no effect in this kit"
            found.info(NO_EFFECT, ("kind",), text, "A real cluster or mesh would execute it.")
        problems += found.problems
    for file, room in rooms.items():
        problems += room.rest(Position(file, 1, 1), room.worst)
    return problems
