"""The installation of Istio that a lab needs: its access log is the evidence.

Istio writes none by default, and its own JSON lacks the caller's certificate and the number of tries.  The fields are
the kit's (``mesh.accesslog``), except those that only newer Envoys know, which would let older ones
refuse every listener.
Source: Istio, "Envoy access logs"; IstioOperator options.
"""

from __future__ import annotations

import json
from typing import Any

from mesh.accesslog import JSON_FORMAT

TOO_NEW = ("upstream_hosts_attempted", "trace_id", "downstream_peer")
"""The last is written by a filter of the kit's own."""


def log_format() -> dict[str, str]:
    """Return the fields of the access log and Envoy's operators."""
    return {name: text for name, text in JSON_FORMAT.items() if name not in TOO_NEW}


def installation() -> dict[str, Any]:
    """Return what ``istioctl install -f`` reads."""
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "spec": {
            "profile": "demo",
            "meshConfig": {
                "accessLogFile": "/dev/stdout",
                "accessLogEncoding": "JSON",
                "accessLogFormat": json.dumps(log_format()),
            },
        },
    }
