"""What the sidecar uses of mitmproxy beyond its documented interface, one test per assumption."""
