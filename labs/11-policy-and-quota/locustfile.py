"""The visitors of lab 11, with Locust's own page: the same class that the grader drives.

``make lab-11 KEEP=1`` keeps the mesh and prints the gateway's address; then

    .venv/bin/locust -f labs/11-policy-and-quota/locustfile.py --host http://127.0.0.1:PORT
"""

from locust import constant  # noqa: TID251  Locust first: it patches the process

from grader.load.driver import Visitor


class Customer(Visitor):
    """Opens the customer's page twice a second and never retries."""

    abstract = False
    wait_time = constant(0.5)
