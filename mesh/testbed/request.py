"""One request into the mesh, on a connection of its own: policies judge each anew."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from mesh.testbed.base import Answer
from mesh.testbed.client import TestbedError

TIMEOUT = 60.0


def send(
    port: int, target: str, *, method: str, headers: Mapping[str, str] | None, body: bytes
) -> Answer:
    """Send to 127.0.0.1:``port``; ``target`` is a path, or a URL when that is a proxy.

    TestbedError when no HTTP answer came.
    """
    given = {name.lower(): value for name, value in (headers or {}).items()}
    if "://" in target:
        given.setdefault("host", urlsplit(target).netloc)
    elif not target.startswith("/"):
        target = "/" + target
    given.setdefault("user-agent", "meshctl")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.putrequest(method, target, skip_host="host" in given, skip_accept_encoding=True)
        if body:
            given.setdefault("content-length", str(len(body)))
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        response = connection.getresponse()
        data = response.read()
    except (OSError, http.client.HTTPException, ValueError) as problem:
        what = f"{type(problem).__name__}: {problem}"
        raise TestbedError(f"no answer to {method} {target} ({what})") from None
    finally:
        connection.close()
    found = tuple((name.lower(), value) for name, value in response.getheaders())
    return Answer(response.status, found, data)
