"""The real driver, in its own process, against a real HTTP server of this process."""

import http.server
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil
import pytest

from grader.load.observation import Observation, read_jsonl
from grader.load.plan import Plan
from grader.load.run import PROJECT, Driver, LoadError


@dataclass
class Server:
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)
    bodies: list[bytes] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    ports: set[int] = field(default_factory=set)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: two would wait for each other (Nagle)

        def do_GET(self) -> None:
            state.seen[self.headers["x-request-id"]] += 1
            state.ports.add(self.client_address[1])
            if self.path == "/slow":
                state.over.wait()
            if self.path == "/hang-up":
                self.close_connection = True
                return
            body = b"customer => preference => recommendation v1 from 'pod-1': 3\n"
            self.send_response(302 if self.path == "/away" else 200)
            self.send_header("content-length", str(len(body)))
            self.send_header("location", "/elsewhere")
            self.send_header("content-type", "text/plain")
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            state.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    class Threading(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A client that is killed resets its connections."""

    httpd = Threading(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}"
    yield state
    state.over.set()
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def driver() -> Iterator[Driver]:
    with Driver() as child:
        yield child


@pytest.fixture(scope="module", params=[0, 2], ids=["alone", "two-workers"])
def any_driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    with Driver(workers=request.param) as child:
        yield child


def test_a_user_gives_up_waiting_and_that_is_no_error(server: Server, any_driver: Driver) -> None:
    plan = Plan("late", server.url, 3, path="/slow", batch=3, give_up=0.2)
    seen = any_driver.run(plan, lambda _: True)
    assert [(item.slow, item.status, item.error) for item in seen] == [(True, 0, "")] * 3
    assert all(item.seconds >= 0.2 for item in seen)
    (quick,) = any_driver.run(Plan("quick", server.url, 1, give_up=5.0), lambda _: True)
    assert (quick.slow, quick.status) == (False, 200)


def test_a_post_brings_its_body(server: Server, driver: Driver) -> None:
    plan = Plan("post", server.url, 2, method="POST", body="five", batch=2)
    assert [item.status for item in driver.run(plan, lambda _: True)] == [200, 200]
    assert server.bodies == [b"five"] * 2


def test_barrier_batches_until_the_parent_stops(
    server: Server, any_driver: Driver, tmp_path
) -> None:
    sizes: list[int] = []

    def decide(seen: tuple[Observation, ...]) -> bool:
        sizes.append(len(seen))
        return len(sizes) < 3

    output = tmp_path / "observations.jsonl"
    plan = Plan("split", server.url, 1000, nonce="n", output=str(output))
    seen = any_driver.run(plan, decide)
    assert sizes == [25, 50, 75]
    assert [item.index for item in seen] == list(range(75))
    assert {item.version for item in seen} == {"v1"}
    assert {item.pod for item in seen} == {"pod-1"}
    assert seen[0].headers["content-type"] == "text/plain"
    assert server.seen == Counter({item.request_id: 1 for item in seen})
    assert read_jsonl(output) == seen
    assert "gevent" not in sys.modules


def test_several_plans_one_driver_and_the_budget(server: Server, any_driver: Driver) -> None:
    for users in (1, 8, 20):
        seen = any_driver.run(Plan(f"p{users}", server.url, 30, users=users), lambda _: True)
        assert len(seen) == 30


def test_connections_new_or_kept(server: Server, any_driver: Driver) -> None:
    any_driver.run(Plan("keep", server.url, 40, users=4), lambda _: True)
    assert len(server.ports) <= 4
    server.ports.clear()
    any_driver.run(Plan("new", server.url, 40, users=4, connections="new"), lambda _: True)
    assert len(server.ports) == 40


def test_a_request_whose_connection_closes_is_an_error_and_is_sent_once(
    server: Server, any_driver: Driver
) -> None:
    seen = any_driver.run(Plan("lost", server.url, 10, path="/hang-up"), lambda _: True)
    assert [item.status for item in seen] == [0] * 10
    assert all(item.error for item in seen)
    assert set(server.seen.values()) == {1}


def test_redirects_are_not_followed(server: Server, driver: Driver) -> None:
    seen = driver.run(Plan("away", server.url, 3, path="/away"), lambda _: True)
    assert [item.status for item in seen] == [302] * 3


def test_a_stream_flows_until_stopped(server: Server, any_driver: Driver) -> None:
    stream = any_driver.stream(Plan("flow", server.url, 100_000, mode="stream", batch=10))
    stream.wait_for(40)
    first = stream.stop()
    assert len(first) >= 40
    assert sorted(server.seen) == [item.request_id for item in first]
    again = any_driver.run(Plan("after", server.url, 5), lambda _: True)
    assert len(again) == 5


def test_a_stream_whose_budget_ends_says_so(server: Server, any_driver: Driver) -> None:
    stream = any_driver.stream(Plan("flow", server.url, 20, mode="stream", batch=10))
    with pytest.raises(LoadError, match="too few"):
        stream.wait_for(40)
    assert len(stream.stop()) == 20


def test_nobody_listens(driver: Driver) -> None:
    seen = driver.run(Plan("closed", "http://127.0.0.1:9", 5), lambda _: True)
    assert all("refused" in item.error.lower() for item in seen)


def test_an_invalid_plan_is_refused_with_exit_code_2(driver: Driver) -> None:
    driver._write('{"probe": "x", "host": "nowhere", "requests": 1}')
    with pytest.raises(LoadError, match="host must start with"):
        driver._next(Plan("x", "http://x", 1))
    assert driver._process.wait() == 2


def test_close_ends_the_process(server: Server) -> None:
    driver = Driver()
    stream = driver.stream(Plan("flow", server.url, 100_000, mode="stream"))
    stream.wait_for(1)
    driver.close()
    with pytest.raises(ProcessLookupError):
        os.kill(driver.pid, 0)
    with pytest.raises(LoadError):
        driver.run(Plan("late", server.url, 1), lambda _: False)


def test_a_plan_with_fewer_users_than_workers(server: Server, any_driver: Driver) -> None:
    seen = any_driver.run(Plan("lonely", server.url, 3, users=1, batch=1), lambda _: True)
    assert [item.index for item in seen] == [0, 1, 2]


def test_a_worker_that_ends_ends_the_run(server: Server) -> None:
    with Driver(workers=2) as driver:
        stream = driver.stream(Plan("flow", server.url, 100_000, mode="stream"))
        stream.wait_for(10)
        psutil.Process(driver.pid).children()[0].kill()
        with pytest.raises(LoadError, match="a worker of Locust ended with exit code -9"):
            stream.wait_for(100_000)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_driver_whose_parent_was_killed_ends_by_itself(server: Server, workers: int) -> None:
    code = (
        "import sys; from grader.load.plan import Plan; from grader.load.run import Driver\n"
        "driver = Driver(int(sys.argv[2]))\n"
        "stream = driver.stream(Plan('flow', sys.argv[1], 100000, mode='stream'))\n"
        "stream.wait_for(1)\n"
        "print(driver.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code, server.url, str(workers)],
        cwd=PROJECT,
        stdin=pipe,
        stdout=pipe,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        driver = psutil.Process(int(parent.stdout.readline()))
        left = [driver, *driver.children()]
        assert len(left) == 1 + workers
        parent.kill()
    psutil.wait_procs(left, timeout=30)
    assert not [
        each for each in left if each.is_running() and each.status() != psutil.STATUS_ZOMBIE
    ]
