"""The load driver: Locust, embedded, in a process of its own.

Importing Locust patches the whole process (gevent), so the grader never imports it: it starts
``python -m grader.load`` and talks to it by lines of JSON.

    parent -> driver   a plan; after each batch of a barrier plan ``continue`` or ``stop``;
                       ``stop`` at any time ends a stream; end of file ends the driver
    driver -> parent   {"event": "ready"}, {"event": "batch", "observations": [...]},
                       {"event": "done", "issued": n, "observed": n, "errors": n}

The driver judges nothing.  It keeps every observation in memory, writes them once, and counts:
``issued = observed + errors``.  Exit codes: 0 ran, 2 the plan is invalid, 3 could not run.

With ``--workers N`` it is Locust's master, and N processes of Locust's workers send the requests
(``grader.load.crew``): one process sends some thousand requests a second, on one processor.

``Visitor`` is the one user class: ``labs/*/locustfile.py`` runs the same visits with Locust's page.
"""

import locust  # noqa: I001, TID251  the first import: gevent must patch before anything else
from locust.contrib.fasthttp import FastHttpUser, FastResponse  # noqa: TID251
from locust.env import Environment  # noqa: TID251
from locust.exception import StopUser  # noqa: TID251

import argparse
import json
import os
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import geventhttpclient.client
from gevent.event import Event
from gevent.fileobject import FileObject
from gevent.queue import Empty, Queue
from gevent import spawn

from grader.load.observation import HEADERS_OF_INTEREST, MAX_BODY, Observation, write_jsonl
from grader.load.plan import Plan, from_json

if TYPE_CHECKING:
    from grader.load.crew import Crew

EXIT_INVALID, EXIT_CANNOT = 2, 3

# geventhttpclient sends an idempotent request again when its connection closes, whatever
# max_retries says.  A grader that repeats requests in silence would hide what it looks for.
geventhttpclient.client.IDEMPOTENT_METHODS = frozenset()


class Visitor(FastHttpUser):
    """Somebody who opens the customer's page, again and again, and never retries."""

    abstract = True
    max_retries = 0
    max_redirects = 0
    path: ClassVar[str] = "/"
    method: ClassVar[str] = "GET"
    body: ClassVar[str] = ""
    new_connections: ClassVar[bool] = False
    planned: "ClassVar[Visits | None]" = None

    @locust.task
    def visit(self) -> None:
        """One request, as a browser would send it; the grader's plan numbers and records it."""
        if self.planned:
            self.planned.visit(self)
        else:
            self.ask({})

    def ask(self, headers: dict[str, str]) -> FastResponse:
        """Ask for ``path``; the response has status 0 and ``error`` when no answer came."""
        response = self.client.request(
            self.method, self.path, data=self.body or None, headers=headers, allow_redirects=False
        )
        if self.new_connections:
            self.client.client.close()
        return response


class Visits(ABC):
    """What the users of one process do by a plan: take a ticket (a request's number), ask, record."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tickets: Queue[int | None] = Queue()

    def take(self) -> int | None:
        """The next ticket, waited for; None when the user may go home."""
        index: int | None = self.tickets.get()
        return index

    @abstractmethod
    def add(self, seen: Observation) -> None:
        """Keep what was seen."""

    def visit(self, user: Visitor) -> None:
        """Take a ticket, ask, record; without a ticket the user goes home."""
        index = self.take()
        if index is None:
            raise StopUser
        request_id = self.plan.request_id(index)
        start, clock = time.time(), time.perf_counter()
        response = user.ask({**self.plan.headers, "x-request-id": request_id})
        seconds = time.perf_counter() - clock
        failure = None if response.status_code else getattr(response, "error", "no answer")
        slow = bool(self.plan.give_up) and timed_out(failure)
        kept: Any = response.headers or {}
        self.add(
            Observation(
                index=index,
                batch=index // self.plan.batch,
                request_id=request_id,
                status=response.status_code,
                body=(response.text or "")[:MAX_BODY],
                headers={name: kept[name] for name in HEADERS_OF_INTEREST if name in kept},
                start=start,
                seconds=seconds,
                error="" if failure is None or slow else repr(failure),
                probe=self.plan.probe,
                slow=slow,
            )
        )


class Run(Visits):
    """One plan while it runs: hands out the tickets, gathers the observations."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.observations: list[Observation] = []
        self.issued = 0
        self.progress = Event()

    def take(self) -> int | None:
        """The next ticket, counted as issued."""
        index = super().take()
        self.issued += index is not None
        return index

    def add(self, seen: Observation) -> None:
        """Keep what was seen, and wake who waits for it."""
        self.observations.append(seen)
        self.progress.set()

    def wait_for(self, count: int, lines: "Queue[str]", *, interruptible: bool) -> bool:
        """Wait until ``count`` observations are there; False when the parent said stop before."""
        while len(self.observations) < count:
            if interruptible and not lines.empty() and lines.get().strip() == "stop":
                return False
            self.progress.clear()
            self.progress.wait(0.05 if interruptible else None)
        return True


def timed_out(failure: object) -> bool:
    """Whether a request ended because its user gave up; the client wraps the reason."""
    return isinstance(failure, TimeoutError) or isinstance(
        getattr(failure, "original", None), TimeoutError
    )


def say(event: str, **more: object) -> None:
    """One line of JSON to the parent."""
    sys.stdout.write(json.dumps({"event": event, **more}) + "\n")
    sys.stdout.flush()


def say_batch(run: Run, begin: int) -> int:
    """Report the observations from number ``begin`` on; returns how many there are now."""
    fresh = run.observations[begin:]
    if fresh:
        say("batch", observations=[item.as_dict() for item in fresh])
    return begin + len(fresh)


def issue(run: Run, lines: "Queue[str]") -> None:
    """Hand out the plan's tickets, by batches or as a stream, until budget or parent end it."""
    plan, told, sent = run.plan, 0, 0
    if plan.mode == "stream":
        for index in range(plan.requests):
            run.tickets.put(index)
        while told < plan.requests:
            if not run.wait_for(min(told + plan.batch, plan.requests), lines, interruptible=True):
                break
            told = say_batch(run, told)
        drop_tickets(run)
        run.wait_for(run.issued, lines, interruptible=False)
        say_batch(run, told)
        return
    while sent < plan.requests:
        size = min(plan.batch, plan.requests - sent)
        for index in range(sent, sent + size):
            run.tickets.put(index)
        sent += size
        run.wait_for(sent, lines, interruptible=False)
        told = say_batch(run, told)
        if lines.get().strip() != "continue":
            return


def drop_tickets(run: Run) -> None:
    """Take back what no user has taken yet."""
    while True:
        try:
            run.tickets.get_nowait()
        except Empty:
            return


def visitors(visits: Visits) -> type[Visitor]:
    """The users that a plan asks for, as Locust wants them: a class."""
    plan = visits.plan
    traits: dict[str, Any] = {
        "host": plan.host,
        "path": plan.path,
        "method": plan.method,
        "body": plan.body,
        "network_timeout": plan.give_up or plan.timeout,
        "connection_timeout": plan.timeout,
        "new_connections": plan.connections == "new",
        "wait_time": locust.constant(plan.think_seconds),
        "planned": visits,
    }
    return type("PlannedVisitor", (Visitor,), traits)


def execute(plan: Plan, lines: "Queue[str]", crew: "Crew | None") -> bool:
    """Run one plan to its end; False when the counts do not agree."""
    run = Run(plan)
    counted = crew.execute(run, lambda: carry_out(run, lines)) if crew else alone(run, lines)
    run.observations.sort(key=lambda item: item.index)
    if plan.output:
        write_jsonl(Path(plan.output), run.observations)
    errors = sum(1 for item in run.observations if item.error)
    observed = len(run.observations) - errors
    say("done", issued=run.issued, observed=observed, errors=errors, locust=counted)
    return run.issued == observed + errors == counted


def carry_out(run: Run, lines: "Queue[str]") -> None:
    """Issue the plan's requests, and send the users home."""
    issue(run, lines)
    for _ in range(run.plan.users):
        run.tickets.put(None)


def alone(run: Run, lines: "Queue[str]") -> int:
    """Run a plan with users of this process; returns how many requests Locust counted."""
    environment = Environment(user_classes=[visitors(run)])
    runner = environment.create_local_runner()
    try:
        runner.start(run.plan.users, spawn_rate=run.plan.users)
        carry_out(run, lines)
    finally:
        runner.stop()
        counted: int = runner.stats.total.num_requests
        runner.quit()
    return counted


def read_lines(lines: "Queue[str]") -> None:
    """Pass standard input on, line by line; its end means that the parent is gone or done."""
    with FileObject(sys.stdin.fileno(), "r", encoding="utf-8", close=False) as source:
        for line in source:
            lines.put(line)
    sys.stdout.flush()
    os._exit(0)


def main() -> int:
    """Serve plans until standard input ends."""
    parser = argparse.ArgumentParser(prog="grader.load")
    parser.add_argument("--workers", type=int, default=0)
    workers: int = parser.parse_args().workers
    lines: Queue[str] = Queue()
    spawn(read_lines, lines)
    crew = None
    if workers:
        from grader.load.crew import Crew  # it needs this module, and most runs not it

        crew = Crew(workers)
    say("ready")
    while True:
        try:
            plan = from_json(lines.get())
        except ValueError as error:
            say("refused", reason=str(error))
            return EXIT_INVALID
        try:
            sound = execute(plan, lines, crew)
        except Exception as error:
            say("failed", reason=f"{type(error).__name__}: {error}")
            return EXIT_CANNOT
        if not sound:
            return EXIT_CANNOT
