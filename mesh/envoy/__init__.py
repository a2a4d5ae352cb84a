"""The real Envoy as a data plane: its bootstrap, and a supervisor that ends it with its parent."""
