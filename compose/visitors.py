"""The visitors of a mesh in containers, with Locust's own page (profile ``locust``)."""

from locust import FastHttpUser, constant, task  # noqa: TID251  Locust first: it patches the process


class Customer(FastHttpUser):
    """Opens the customer's page twice a second and never retries."""

    wait_time = constant(0.5)
    max_retries = 0
    max_redirects = 0

    @task
    def visit(self) -> None:
        """One visit."""
        self.client.get("/")
