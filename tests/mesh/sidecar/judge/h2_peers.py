"""A client and an upstream that speak HTTP/2 and can misbehave; both on the library ``h2``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    InformationalResponseReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

Pairs = list[tuple[str, str]]


@dataclass
class Answer:
    """What came on a stream; ``reset`` is an error code, ``closed`` that the connection ended."""

    headers: Pairs = field(default_factory=list)
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)
    reset: int | None = None
    closed: bool = False
    interim: list[str] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> str:
        return dict(self.headers).get(":status", "")

    def shown(self, hidden: set[str]) -> Any:
        """In a form to compare."""
        headers = sorted(item for item in self.headers if item[0] not in hidden)
        body = self.body if len(self.body) < 500 else len(self.body)
        return headers, body, self.trailers, self.reset, self.closed, self.interim


class H2Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.window = asyncio.Event()
        self.flush()
        self.task = asyncio.create_task(self.read())

    @classmethod
    async def connect(cls, port: int) -> H2Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def read(self) -> None:
        while data := await self.reader.read(65536):
            for event in self.h2.receive_data(data):
                number = getattr(event, "stream_id", 0)
                answer = self.answers.get(number or 0, Answer())
                if isinstance(event, ResponseReceived):
                    answer.headers = [(k, v) for k, v in event.headers or []]
                elif isinstance(event, InformationalResponseReceived):
                    answer.interim.append(dict(event.headers or [])[":status"])
                elif isinstance(event, DataReceived):
                    answer.body += event.data or b""
                    self.h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
                elif isinstance(event, TrailersReceived):
                    answer.trailers = [(k, v) for k, v in event.headers or []]
                elif isinstance(event, StreamReset):
                    answer.reset = int(event.error_code or 0)
                    answer.done.set()
                elif isinstance(event, StreamEnded):
                    answer.done.set()
            self.window.set()
            self.flush()
        for answer in self.answers.values():
            if not answer.done.is_set():
                answer.closed = True
                answer.done.set()
        self.window.set()

    def begin(self, headers: Pairs, end: bool = True) -> int:
        number = self.h2.get_next_available_stream_id()
        self.answers[number] = Answer()
        self.h2.send_headers(number, headers, end_stream=end)
        self.flush()
        return number

    async def send(self, number: int, data: bytes) -> None:
        while data:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if not room:
                self.window.clear()
                await self.window.wait()
                continue
            self.h2.send_data(number, data[:room])
            data = data[room:]
            self.flush()

    def end(self, number: int, trailers: Pairs | None = None) -> None:
        if trailers:
            self.h2.send_headers(number, trailers, end_stream=True)
        else:
            self.h2.end_stream(number)
        self.flush()

    async def answer(self, number: int) -> Answer:
        await self.answers[number].done.wait()
        return self.answers[number]

    async def get(self, path: str, method: str = "GET", extra: Pairs | None = None) -> Answer:
        return await self.answer(self.begin(head(path, method, extra)))

    async def close(self) -> None:
        self.writer.close()
        await self.task


def head(path: str, method: str = "GET", extra: Pairs | None = None) -> Pairs:
    """Headers of a request."""
    names = (":method", ":scheme", ":authority", ":path")
    return [*zip(names, (method, "http", "a", path), strict=True), *(extra or [])]


@dataclass
class Call:
    """A request that the upstream has got in full, and its way back."""

    server: H2Upstream
    h2: H2Connection
    writer: asyncio.StreamWriter
    number: int
    headers: Pairs
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)

    def respond(self, headers: Pairs, body: bytes | None, trailers: Pairs | None = None) -> None:
        """Answer; ``body`` None ends with the headers."""
        self.h2.send_headers(self.number, headers, end_stream=body is None and not trailers)
        if body:
            self.h2.send_data(self.number, body, end_stream=not trailers)
        if trailers:
            self.h2.send_headers(self.number, trailers, end_stream=True)
        elif body == b"":
            self.h2.end_stream(self.number)
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())


@dataclass
class H2Upstream:
    """An upstream; ``handler`` is called with each request that is complete."""

    handler: Callable[[Call], Awaitable[None]]
    port: int = 0
    connections: int = 0
    calls: list[Call] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        h2.initiate_connection()
        writer.write(h2.data_to_send())
        calls: dict[int, Call] = {}
        try:
            while data := await reader.read(65536):
                for event in h2.receive_data(data):
                    number = getattr(event, "stream_id", 0) or 0
                    if isinstance(event, RequestReceived):
                        headers = [(k, v) for k, v in event.headers or []]
                        calls[number] = Call(self, h2, writer, number, headers)
                    elif isinstance(event, DataReceived):
                        calls[number].body += event.data or b""
                        h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
                    elif isinstance(event, TrailersReceived):
                        calls[number].trailers = [(k, v) for k, v in event.headers or []]
                    elif isinstance(event, StreamEnded):
                        self.calls.append(calls[number])
                        await self.handler(calls[number])
                    elif isinstance(event, ConnectionTerminated):
                        return
                writer.write(h2.data_to_send())
        except ConnectionError:
            pass
        except asyncio.CancelledError:
            pass  # the test ends
        finally:
            writer.close()


@asynccontextmanager
async def h2_upstream(handler: Callable[[Call], Awaitable[None]]) -> AsyncIterator[H2Upstream]:
    """Serve ``handler`` on a free port."""
    state = H2Upstream(handler)
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
