"""Mixer: what the mesh knows and decides beside its routes: telemetry, traces, policy.

In Istio until 1.7 sidecars asked Mixer before a request (check) and told it after one (report).
Here the same place reads the access logs of both engines and makes of them Istio's standard
metrics, the service graph and traces.
"""
