"""Pods and the processes in them: one interface (``Testbed``), a local and a Docker Compose runtime."""
