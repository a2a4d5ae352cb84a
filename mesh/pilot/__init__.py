"""The control plane: services and endpoints, translation to xDS v3, and the ADS server (istiod's job)."""
