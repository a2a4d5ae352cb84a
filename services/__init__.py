"""The applications of the labs: customer -> preference -> recommendation, and a scripted backend.

They know nothing of the mesh: what they call they call by name (``http://preference:8080``), and
the sidecar beside them does the rest.  This package imports nothing of the kit.

Texts and failure behaviour are those of the tutorial that the lecture draws from
(redhat-scholars/istio-tutorial, its quarkus services).
"""
