"""Istio's configuration: load, validate, analyse and repair YAML, with a position for every word."""

from mesh.istio.eras import ERAS, Era, era
from mesh.istio.load import Loaded, load_paths, load_text
from mesh.istio.problem import Level, Position, Problem, has_errors
from mesh.istio.resource import Resource, Source, by_age
from mesh.istio.validate import validate

__all__ = [
    "ERAS",
    "Era",
    "Level",
    "Loaded",
    "Position",
    "Problem",
    "Resource",
    "Source",
    "by_age",
    "era",
    "has_errors",
    "load_paths",
    "load_text",
    "validate",
]
