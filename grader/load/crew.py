"""A crew: Locust's master, and its workers as processes of this machine.

    make lab-3 WORKERS=4

One process of Locust uses one processor.  Where that is too little, its own way to more is a master
that spreads the users over workers, which report back what they counted.  Numbers of requests stay
the master's: a user asks for one when it is free, so a stopped plan has nothing under way but what
users wait for, and each request is issued once.  Observations come back one by one; that the
workers' own counts agree with them is checked at the end, as without workers.

Locust's protocol carries it all: its messages ``spawn``, ``stats`` and ``stop``, and of ours

    master -> worker   plan (a new plan), ticket (an index, or none: go home), report (when all left)
    worker -> master   hello, planned, want (a user is free), seen (an observation), reported
"""

from locust.env import Environment  # noqa: I001, TID251  the first import: gevent must patch first
from locust.runners import MasterRunner  # noqa: TID251

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from gevent import spawn
from gevent.event import Event
from gevent.queue import Queue

from grader.load.driver import EXIT_CANNOT, Run, say, visitors
from grader.load.observation import from_dict


class Crew:
    """The master; its workers end with this process."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._environment = Environment(user_classes=[])
        self._runner: MasterRunner = self._environment.create_master_runner("127.0.0.1", 0)
        self._heard: Counter[str] = Counter()
        self._news = Event()
        self._free: Queue[str] = Queue()
        self._run: Run | None = None
        self._plans = 0
        joined: Any = self._environment.events.worker_connect
        joined.add_listener(lambda **_: self._hear("joined"))
        for name in ("hello", "planned", "reported"):
            self._runner.register_message(name, self._told)
        self._runner.register_message("want", self._wanted)
        self._runner.register_message("seen", self._seen)
        for _ in range(workers):
            process = subprocess.Popen(
                [sys.executable, "-m", "grader.load.worker", str(self._runner.server.port)],
                stdin=subprocess.PIPE,  # its end tells a worker that this process is gone
                stdout=subprocess.DEVNULL,
            )
            spawn(give_up_with, process)

    def execute(self, run: Run, carry_out: Callable[[], None]) -> int:
        """Run a plan with users in all workers; returns how many requests Locust counted."""
        self._run = run
        self._environment.user_classes = [visitors(run)]
        self._wait_for("hello", self._workers)
        # Whoever stopped joins again: only then may the next plan come.
        self._wait_for("joined", self._workers * (self._plans + 1))
        self._plans += 1
        self._runner.send_message("plan", {"plan": run.plan.to_json()})
        self._wait_for("planned", self._workers * self._plans)
        self._free = Queue()
        giver = spawn(self._hand_out, run)
        self._runner.start(run.plan.users, spawn_rate=run.plan.users)
        carry_out()
        giver.join()
        self._runner.send_message("report")
        self._wait_for("reported", self._workers * self._plans)
        counted: int = self._runner.stats.total.num_requests
        self._runner.stop()
        return counted

    def _hand_out(self, run: Run) -> None:
        """Give each ticket to a user that is free, until the last user was sent home."""
        home = 0
        while home < run.plan.users:
            index = run.take()
            self._runner.send_message("ticket", {"index": index}, self._free.get())
            home += index is None

    def _hear(self, name: str) -> None:
        self._heard[name] += 1
        self._news.set()

    def _wait_for(self, name: str, count: int) -> None:
        while self._heard[name] < count:
            self._news.clear()
            self._news.wait()

    def _told(self, msg: Any, **_: object) -> None:
        self._hear(msg.type)

    def _wanted(self, msg: Any, **_: object) -> None:
        self._free.put(msg.node_id)

    def _seen(self, msg: Any, **_: object) -> None:
        assert self._run is not None
        self._run.add(from_dict(msg.data))


def give_up_with(worker: subprocess.Popen[bytes]) -> None:
    """A worker that ends takes requests with it that nobody will answer for."""
    code = worker.wait()
    say("failed", reason=f"a worker of Locust ended with exit code {code}")
    os._exit(EXIT_CANNOT)
