"""The mesh lab kit's service mesh: a control plane and a data plane to read.

``istio`` reads and explains YAML, ``pilot`` turns it into Envoy's xDS and serves it,
``sidecar`` (mitmproxy) and ``envoy`` (the real Envoy) execute it, ``testbed`` runs the pods.
"""
