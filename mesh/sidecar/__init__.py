"""The mitmproxy data plane: an xDS client that executes what Envoy would execute."""
