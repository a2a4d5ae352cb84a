"""Istio's configuration: load, validate, analyse and repair YAML, with a position for every word."""
