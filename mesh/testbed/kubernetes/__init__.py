"""A lab on a Kubernetes cluster with the real Istio: ``kubectl`` and an address are all that is used."""
