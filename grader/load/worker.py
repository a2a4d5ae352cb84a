"""One of Locust's workers: ``python -m grader.load.worker PORT``, started by ``grader.load.crew``.

It has users, but no plan of its own: what is to be asked comes from the master, ticket by ticket,
and each observation goes there.  It ends with its standard input, so with the driver.
"""

from locust.env import Environment  # noqa: I001, TID251  the first import: gevent must patch first
from locust.runners import WorkerRunner  # noqa: TID251

import os
import sys
from typing import Any

from gevent import spawn
from gevent.fileobject import FileObject

from grader.load.driver import Visits, visitors
from grader.load.observation import Observation
from grader.load.plan import Plan, from_json


class Share(Visits):
    """What of a plan is this worker's: tickets are asked for, observations sent away."""

    def __init__(self, plan: Plan, runner: WorkerRunner) -> None:
        super().__init__(plan)
        self._runner = runner

    def take(self) -> int | None:
        """Say that a user is free, and wait for its ticket."""
        self._runner.send_message("want")
        return super().take()

    def add(self, seen: Observation) -> None:
        """Send it to the master."""
        self._runner.send_message("seen", seen.as_dict())


class Worker:
    """The worker's side of the messages."""

    def __init__(self, port: int) -> None:
        self._environment = Environment(user_classes=[])
        self._runner: WorkerRunner = self._environment.create_worker_runner("127.0.0.1", port)
        self._share: Share | None = None
        self._runner.register_message("plan", self._plan)
        self._runner.register_message("ticket", self._ticket)
        self._runner.register_message("report", self._report, concurrent=True)
        self._runner.send_message("hello")

    def serve(self) -> None:
        """Work until the master says that it is enough."""
        self._runner.greenlet.join()

    def _plan(self, msg: Any, **_: object) -> None:
        self._share = Share(from_json(msg.data["plan"]), self._runner)
        self._environment.user_classes = [visitors(self._share)]
        self._runner.send_message("planned")

    def _ticket(self, msg: Any, **_: object) -> None:
        assert self._share is not None
        self._share.tickets.put(msg.data["index"])

    def _report(self, **_: object) -> None:
        """Wait for the last user, then send Locust's own counts: it does so every 3 s only."""
        self._runner.user_greenlets.join()
        counts: dict[str, Any] = {}
        collect: Any = self._environment.events.report_to_master
        collect.fire(client_id=self._runner.client_id, data=counts)
        self._runner.send_message("stats", counts)
        self._runner.send_message("reported")


def leave_with_parent() -> None:
    """End when standard input does."""
    with FileObject(sys.stdin.fileno(), "rb", close=False) as source:
        source.read()
    os._exit(0)


if __name__ == "__main__":
    spawn(leave_with_parent)
    Worker(int(sys.argv[1])).serve()
