"""A mesh in containers: Docker Compose starts the pods, iptables sends their traffic to the sidecars."""
