"""Citadel: who is who in the mesh.  It signs certificates for sidecars, and nothing else.

In a real mesh this is istiod's certificate authority.  A workload's name is its Kubernetes service
account, written as a SPIFFE id in its certificate
(``spiffe://cluster.local/ns/tutorial/sa/customer``); mutual TLS and every policy about callers
rest on it.  Shown by ``meshctl proxy-config secret POD``.
"""
