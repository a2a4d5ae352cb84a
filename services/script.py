"""Scripts: which answer a scripted backend gives next; ``services.scripted`` has the format."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Condition


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of a script; the module's docstring names the keys."""

    status: int = 200
    body: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    close: str = ""
    reset: bool = False
    connection_close: bool = False
    raw: str | None = None
    hold: str = ""
    size: int = 0
    digest: bool = False
    echo: bool = False


_KEYS = {
    "status",
    "body",
    "headers",
    "delay",
    "close",
    "reset",
    "connection_close",
    "raw",
    "hold",
    "size",
    "digest",
    "echo",
    "times",
}
OWN_SCRIPT = "x-script"
BY_ATTEMPT = "attempts"
ATTEMPT = "x-envoy-attempt-count"


def parse_answer(raw: object) -> Answer:
    """Read an answer from plain data; ValueError names what is wrong with it."""
    if not isinstance(raw, dict):
        raise ValueError(f"a scripted answer is a mapping, not {raw!r}")
    unknown = sorted(set(raw) - _KEYS)
    if unknown:
        raise ValueError(
            f"a scripted answer has no {unknown[0]!r}; it has: {', '.join(sorted(_KEYS))}"
        )
    close = str(raw.get("close", ""))
    if close not in ("", "before_headers", "mid_body"):
        raise ValueError(f"close is before_headers or mid_body, not {close!r}")
    headers: list[tuple[str, str]] = []
    for name, value in dict(raw.get("headers") or {}).items():
        values = value if isinstance(value, list) else [value]
        headers += [(str(name).lower(), str(each)) for each in values]
    body, text = raw.get("body"), raw.get("raw")
    return Answer(
        status=int(raw.get("status", 200)),
        body=None if body is None else str(body),
        headers=tuple(headers),
        delay=float(raw.get("delay", 0)),
        close=close,
        reset=bool(raw.get("reset", False)),
        connection_close=bool(raw.get("connection_close", False)),
        raw=None if text is None else str(text),
        hold=str(raw.get("hold", "")),
        size=int(raw.get("size", 0)),
        digest=bool(raw.get("digest", False)),
        echo=bool(raw.get("echo", False)),
    )


def _expand(raw: object) -> list[Answer]:
    if not isinstance(raw, list):
        raise ValueError(f"a script is a list of answers, not {raw!r}")
    answers: list[Answer] = []
    for item in raw:
        times = int(item.get("times", 1)) if isinstance(item, dict) else 1
        answers += [parse_answer(item)] * times
    return answers


@dataclass(slots=True)
class Script:
    """Which answer the next request gets; asked under the server's lock."""

    default: Answer
    anywhere: Iterator[Answer]
    paths: dict[str, Iterator[Answer]] = field(default_factory=dict)

    @classmethod
    def parse(cls, options: dict[str, object]) -> Script:
        """From the workload's options; ValueError for what it does not understand."""
        unknown = sorted(set(options) - {"script", "paths", "repeat", "default", "refuse"})
        if unknown:
            raise ValueError(f"services.scripted has no option {unknown[0]!r}")
        repeat = bool(options.get("repeat", False))

        def walk(raw: object) -> Iterator[Answer]:
            answers = _expand(raw)
            return itertools.cycle(answers) if repeat else iter(answers)

        paths = options.get("paths") or {}
        if not isinstance(paths, dict):
            raise ValueError(f"paths maps a path to a list of answers, not {paths!r}")
        return cls(
            default=parse_answer(options.get("default") or {}),
            anywhere=walk(options.get("script") or []),
            paths={str(path): walk(raw) for path, raw in paths.items()},
        )

    def next(self, path: str) -> Answer:
        """Return the answer for a request to ``path`` (without query)."""
        return next(self.paths.get(path, self.anywhere), self.default)


@dataclass(slots=True)
class OwnScripts:
    """Scripts that requests bring along: how often each request has come."""

    version: str
    times: dict[str, int] = field(default_factory=dict)

    def next(self, headers: dict[str, str]) -> Answer | None:
        """Return the answer that the request asks for, or None; a wrong script is answered 400."""
        text = headers.get(OWN_SCRIPT)
        if text is None:
            return None
        request = headers.get("x-request-id", "")
        number = self.times[request] = self.times.get(request, -1) + 1
        try:
            raw = json.loads(text)
            if isinstance(raw, dict) and BY_ATTEMPT in raw:  # whichever pod gets which try
                raw, number = raw[BY_ATTEMPT], int(headers.get(ATTEMPT, "1")) - 1
            answers = _expand(raw.get(self.version, [{}]) if isinstance(raw, dict) else raw)
            return answers[min(number, len(answers) - 1)]
        except (ValueError, IndexError) as error:
            return Answer(400, f"{OWN_SCRIPT}: {error}\n")


@dataclass(slots=True)
class Gate:
    """Names of holds that are over."""

    open: set[str] = field(default_factory=set)
    changed: Condition = field(default_factory=Condition)

    def release(self, name: str) -> None:
        """Let everybody pass who waits for ``name``, now and later."""
        with self.changed:
            self.open.add(name)
            self.changed.notify_all()

    def wait(self, name: str) -> None:
        """Return when ``name`` is released."""
        with self.changed:
            self.changed.wait_for(lambda: name in self.open)
