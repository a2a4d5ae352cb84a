"""The agent of a sidecar: makes its key, fetches its certificate, keeps both fresh.

In a real mesh this is ``pilot-agent``, the process beside Envoy in the container istio-proxy.  Here it
is part of the sidecar's process (or of Envoy's supervisor).  The key never leaves the pod's folder:
only a certificate signing request travels.
"""
