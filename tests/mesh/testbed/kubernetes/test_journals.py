"""Lines of a container, from a kubectl that prints them and stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes.journals import TEXT, Follower, parse


def test_only_an_object_is_a_record() -> None:
    assert parse('{"path": "/"}\n') == {"path": "/"}
    assert parse("{broken\n") == {TEXT: "{broken\n"}
    assert parse("2026-01-05\tinfo\tready\n") == {TEXT: "2026-01-05\tinfo\tready\n"}


def test_a_line_is_waited_for_and_an_ended_log_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "kubectl"
    program.write_text('#!/bin/sh\necho "$@" > args\necho ready\necho \'{"path": "/a-1"}\'\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    follower = Follower("tutorial", "customer-1", "app")
    follower.start()
    follower.expect("/a-1")
    with pytest.raises(TestbedError, match=r"the log of app in customer-1 .*: its log ended"):
        follower.expect("/a-2")
    assert follower.read()[-1] == {"path": "/a-1"}
    follower.close()
    words = "--namespace tutorial logs --follow --tail=0 customer-1 -c app\n"
    assert (tmp_path / "args").read_text() == words
