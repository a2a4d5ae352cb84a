"""Between the kit and a Kubernetes cluster: objects of a cluster in, a lab's mesh out to one.

``importing`` turns what ``kubectl get -o yaml`` prints into a topology with stand-in backends;
``export`` writes a lab for a cluster that runs the real Istio.
"""

VERSION = "0.1.0"
"""The kit's release, as in pyproject.toml; the tag of its images."""
