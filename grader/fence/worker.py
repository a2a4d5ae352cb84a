"""The process in which a student's code runs: it answers one line of JSON with one line of JSON.

    python worker.py forward FILE      {"headers": {name: value}}  ->  {"headers": {name: value}}
    python worker.py filter FILE       {"hook": "request", "id": 1, "method": "GET", ...}  ->  ...

It stands alone, since behind the fence nothing else of the kit exists.  The code is loaded once;
the first line written says ``{"ready": true}``, or ``{"error": "FILE:3: SyntaxError: ..."}``.  What
goes wrong later is answered as an error with the file's line, never by an end of the process.
What the code prints goes to standard error.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

Message = dict[str, Any]
MAX_FLOWS = 2000
"""Requests whose answers have not come yet, at most."""


def load(path: Path) -> ModuleType:
    """Import the file; whatever it raises goes on."""
    spec = importlib.util.spec_from_file_location("handed_in", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def where(error: BaseException, path: Path) -> str:
    """``propagation.py:7: KeyError: 'host'``: the last line of the file that was on the way."""
    name = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path.name}:{error.lineno}: {name}: {error.msg}"
    lines = [
        each for each in traceback.extract_tb(error.__traceback__) if each.filename == str(path)
    ]
    line = f":{lines[-1].lineno}" if lines else ""
    return f"{path.name}{line}: {name}: {error}"[:500]


def forwarder(module: ModuleType) -> Callable[[Message], Message]:
    """The function ``forwarded`` of the file: which headers go with the next request."""
    function = module.forwarded

    def answer(message: Message) -> Message:
        found = function(dict(message["headers"]))
        if not isinstance(found, dict):
            raise TypeError(f"forwarded returned {type(found).__name__}, a dict is needed")
        for name, value in found.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise TypeError(f"a header is a text with a text, not {name!r}: {value!r}")
            if any(sign in name + value for sign in "\r\n\0"):
                raise ValueError(f"the header {name!r} has a line break in it")
        return {"headers": found}

    return answer


class Filter:
    """The addons of the file, run on real flows of mitmproxy."""

    def __init__(self, module: ModuleType) -> None:
        self._addons = list(module.addons)
        self._flows: OrderedDict[int, Any] = OrderedDict()

    def __call__(self, message: Message) -> Message:
        """Run one hook; the answer is what the flow looks like now."""
        if message["hook"] == "request":
            flow = self._request(message)
        else:
            flow = self._flows.pop(message["id"], None) or self._request(message)
            self._respond(flow, message)
        for addon in self._addons:
            hook = getattr(addon, message["hook"], None)
            if hook is not None:
                hook(flow)
        if message["hook"] == "request":
            self._flows[message["id"]] = flow
            if len(self._flows) > MAX_FLOWS:
                self._flows.popitem(last=False)
        return self._seen(flow)

    def _request(self, message: Message) -> Any:
        from mitmproxy import connection, http

        url = f"http://{message['authority'] or 'unknown'}{message['path']}"
        request = http.Request.make(message["method"], url, b"", ())
        request.headers = _headers(message["headers"])
        client = connection.Client(
            peername=("127.0.0.1", 0), sockname=("127.0.0.1", 0), timestamp_start=0.0
        )
        flow = http.HTTPFlow(client, connection.Server(address=None))
        flow.request = request
        return flow

    def _respond(self, flow: Any, message: Message) -> None:
        from mitmproxy import http

        flow.response = http.Response.make(message["status"], b"", ())
        flow.response.headers = _headers(message["response_headers"])

    def _seen(self, flow: Any) -> Message:
        request, response = flow.request, flow.response
        return {
            "method": request.method,
            "path": request.path,
            "headers": _pairs(request.headers),
            "response": None
            if response is None
            else {
                "status": response.status_code,
                "headers": _pairs(response.headers),
                "body": (response.content or b"").decode("latin-1"),
            },
        }


def _headers(pairs: list[list[str]]) -> Any:
    from mitmproxy.http import Headers

    return Headers([(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs])


def _pairs(headers: Any) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers.fields]


KINDS: dict[str, Callable[[ModuleType], Callable[[Message], Message]]] = {
    "forward": forwarder,
    "filter": Filter,
}


def main(kind: str, name: str) -> int:
    """Load the file and answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the code prints is no answer
    sys.stdout = sys.stderr  # and is read while it runs: a line at a time, not a block

    def say(message: Message) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    path = Path(name).resolve()
    try:
        function = KINDS[kind](load(path))
    except BaseException as error:
        say({"error": where(error, path)})
        return 1
    say({"ready": True})
    for line in sys.stdin:
        try:
            found = function(json.loads(line))
        except BaseException as error:
            found = {"error": where(error, path)}
        say(found)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
