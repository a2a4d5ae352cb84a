"""A filter that somebody else wrote: a mitmproxy addon, run in a process beside the sidecar.

In a real mesh this is a WasmPlugin (code in a sandbox within Envoy) or ``ext_proc`` (a process that
Envoy asks about each request).  Here the process gets a request's head as one line of JSON, runs
the addon's hooks ``request`` and ``response`` on a flow of mitmproxy, and says what has become of
it: other headers, another path, or an answer at once.  Bodies stay here.  When the code fails, the
request is refused with 500 (Istio: ``failStrategy: FAIL_CLOSE``).  Code that does not start, or
ended or hung ``TRIES`` times running, is not started again before the next ``reload``.
See it with ``meshctl logs POD``: details ``handed_in_filter_response``, ``handed_in_filter_error``.

Source: Envoy ``api/envoy/service/ext_proc/v3/external_processor.proto``; Istio WasmPlugin.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from typing import Annotated, Any

from mitmproxy.http import HTTPFlow
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from mesh.sidecar.local_reply import local_reply
from mesh.sidecar.mitm.flow import Fields, make_headers
from mesh.sidecar.stream_info import stream_info

SECONDS = 10.0
"""For an answer of the code; far more than it takes, on a busy machine too."""
TRIES = 2
START = 40.0
"""Until it may be asked: a fence, an interpreter and its modules have to be there first."""
ANSWERED, FAILED = "handed_in_filter_response", "handed_in_filter_error"
_NUMBER = "handed_in_filter"


class CodeError(Exception):
    """The code gave no answer; the text says why."""


_Text = Annotated[str, StringConstraints(pattern=r"^[\x00-\xff]*$")]
_Token = Annotated[str, StringConstraints(pattern=r"^[!-~]+$")]


class _Answer(BaseModel):
    """An answer: the status, headers as pairs, and the body, each byte a character."""

    status: Annotated[int, Field(ge=200, le=599)]
    headers: list[tuple[_Text, _Text]]
    body: _Text = ""


class _Request(BaseModel):
    """What has become of a request; with ``response`` it is answered at once."""

    method: _Token
    path: _Token
    headers: list[tuple[_Text, _Text]]
    response: _Answer | None


class _Changed(BaseModel):
    """What has become of an answer."""

    response: _Answer


class HandedInFilter:
    """An addon of the sidecar's master; ``command`` starts the process."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._ended, self._why, self._ready = 0, "", False

    def reload(self) -> None:
        """End the process: the next request starts it again, with the code as it is then."""
        self._ended = 0
        self._end()

    async def close(self) -> None:
        """End the process and wait for its end."""
        process = self._process
        self._end()
        if process is not None:
            await process.wait()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()

    async def request(self, flow: HTTPFlow) -> None:
        """Ask about a request before the other filters see it."""
        data, number = flow.request.data, next(self._numbers)
        flow.metadata[_NUMBER] = number
        message = {
            "hook": "request",
            "id": number,
            "method": data.method.decode("latin-1"),
            "authority": data.authority.decode("latin-1"),
            "path": data.path.decode("latin-1"),
            "headers": _pairs(data.headers.fields),
        }
        try:
            found = _read(_Request, await self._ask(message))
        except CodeError as error:
            self._fail(flow, error)
            return
        data.method = found.method.encode("latin-1")
        data.path = found.path.encode("latin-1")
        data.headers = make_headers(_fields(found.headers))
        answer = found.response
        if answer is not None:
            fields = [each for each in _fields(answer.headers) if each[0] != b"content-length"]
            body = answer.body.encode("latin-1")
            local_reply(flow, stream_info(flow), answer.status, body, ANSWERED, extra=fields)

    async def response(self, flow: HTTPFlow) -> None:
        """Ask about an answer, the code's own too, before it is written."""
        info = stream_info(flow)
        if flow.response is None or info.details == FAILED:
            return
        request, response = flow.request.data, flow.response.data
        message = {
            "hook": "response",
            "id": flow.metadata.get(_NUMBER, 0),
            "method": request.method.decode("latin-1"),
            "authority": request.authority.decode("latin-1"),
            "path": request.path.decode("latin-1"),
            "headers": _pairs(request.headers.fields),
            "status": response.status_code,
            "response_headers": _pairs(response.headers.fields),
        }
        try:
            found = _read(_Changed, await self._ask(message)).response
        except CodeError as error:
            self._fail(flow, error)
            return
        response.status_code = found.status
        response.headers = make_headers(_fields(found.headers))

    def _fail(self, flow: HTTPFlow, error: CodeError) -> None:
        info = stream_info(flow)
        info.explain("the handed-in filter", why=str(error))
        if info.response_stream is None:
            local_reply(flow, info, 500, f"filter failed: {error}\n".encode(), FAILED)

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        async with self._lock:
            if self._ended >= TRIES:
                raise CodeError(self._why)
            try:
                found = await self._answer(message)
            except CodeError as error:
                if self._process is None:
                    self._ended += 1 if self._ready else TRIES
                    self._why = str(error)
                raise
            self._ended = 0
            return found

    async def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            if self._process is None or self._process.returncode is not None:
                self._ready = False
                async with asyncio.timeout(START):
                    await self._start()
                self._ready = True
            async with asyncio.timeout(SECONDS):
                return await self._exchange(json.dumps(message).encode() + b"\n")
        except TimeoutError:
            self._end()
            raise CodeError("it gave no answer in time") from None

    async def _start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, limit=1 << 20
            )
        except OSError as problem:
            raise CodeError(f"it could not be started: {problem.strerror}") from None
        try:
            await self._exchange(b"")
        except CodeError:
            self._end()
            raise

    async def _exchange(self, line: bytes) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line)
            found = json.loads(await process.stdout.readline())
        except (OSError, ValueError):
            self._end()
            raise CodeError("it ended without an answer") from None
        if not isinstance(found, dict) or "error" in found:
            raise CodeError(str(found["error"] if isinstance(found, dict) else found))
        return found


def _read[T: BaseModel](kind: type[T], found: dict[str, Any]) -> T:
    """Check what the code said: it may say anything.  CodeError for what no answer can be."""
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CodeError(f"its answer has no usable {where}: {first['msg']}") from None


def _pairs(fields: Any) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in fields]


def _fields(pairs: Sequence[tuple[str, str]]) -> Fields:
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in pairs
        if not any(sign in name + value for sign in "\r\n\0")
    ]
