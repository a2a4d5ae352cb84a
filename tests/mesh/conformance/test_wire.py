"""What a ``talk`` takes off a connection, against a bare socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from threading import Thread

import pytest

from mesh.conformance.wire import Act, Talk, clean_head, shown

Served = Callable[[bytes], Talk]


@pytest.fixture
def served() -> Iterator[Served]:
    """Make a server that says something and closes; return the client's end."""
    talks: list[Talk] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def make(said: bytes) -> Talk:
            def serve() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(said)

            thread = Thread(target=serve)
            thread.start()
            talks.append(Talk(server.getsockname()[1], "id-1"))
            thread.join()
            return talks[-1]

        yield make
        for talk in talks:
            talk.close()


def test_answers_are_taken_whole_however_they_are_framed(served: Served) -> None:
    talk = served(
        b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\nB: 1\r\nA: 2\r\n\r\nok"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"
        b"HTTP/1.1 204 No Content\r\n\r\n"
        b"line\nrest"
    )
    for take in ("answer", "answer", "answer", "line", 2, "end", "head"):
        talk.act(Act.model_validate({"take": take}))
    assert talk.took == [
        "HTTP/1.1 200 OK\na: 2\nb: 1\ncontent-length: 2\nok",
        "HTTP/1.1 200 OK\nabcd",
        "HTTP/1.1 204 No Content\n",
        "line\n",
        "re",
        "st",
        "the end",
    ]


def test_what_no_two_runs_share_is_left_out() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-Request-Id: 1\r\nX-Envoy-Upstream-Service-Time: 7\r\n\r\n"
    assert clean_head(head) == "HTTP/1.1 200 OK\nx-envoy-upstream-service-time: *"
    assert shown(b"a" * 3000).startswith("3000 bytes, sha256 ")


@pytest.mark.parametrize("act", [{}, {"send": "a", "take": "end"}, {"take": "more"}])
def test_an_act_is_one_thing(act: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"one of|Input should be"):
        Act.model_validate(act)
