"""A chain of the benchmark that cannot start says why."""

from __future__ import annotations

import sys

import pytest

from mesh.bench import chain

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's prctl")


def test_an_application_that_dies_at_its_start_ends_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chain, "PROGRAM", ("-c", "raise SystemExit('no port is left')"))
    with (
        pytest.raises(RuntimeError, match=r" ended with 1: no port is left$"),
        chain.plain_chain(proxies=False) as found,
    ):
        found.await_answer()


def test_a_chain_that_starts_answers() -> None:
    with chain.plain_chain(proxies=False) as found:
        found.await_answer()
        assert found.load(5)["requests"] == 5
        processes = [each.process for each in found.children]
    assert len(processes) == 3
    assert all(each.poll() is not None for each in processes)
