"""Mutual TLS of a sidecar: certificates by SDS, contexts, the encrypted connection itself."""
