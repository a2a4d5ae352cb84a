"""Who may change the lab's namespace: one grader, and after a killed one one other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes.kubectl import Kubectl
from mesh.testbed.kubernetes.lock import LIFETIME, NAME, RENEWED, Lock, this_process
from tests.mesh.testbed.kubernetes.fake_api import FakeApi


class Clock:
    """A time that the test moves."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 30, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    with FakeApi(tmp_path) as running:
        monkeypatch.setenv("PATH", running.path)
        yield running
        assert running.faults == []


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lock(holder: str, clock: Clock, *spaces: str) -> Lock:
    return Lock(Kubectl(), spaces or ("tutorial",), holder, clock)


def test_the_second_is_told_who_the_first_is_and_how_to_take_over(
    api: FakeApi, clock: Clock
) -> None:
    first, second = lock("anna", clock), lock("ben", clock)
    first.take()
    with pytest.raises(TestbedError) as refused:
        second.take()
    assert str(refused.value) == (
        "anna grades in the namespace tutorial (until 10:15:00 UTC, if it does not go on): wait for "
        "it, or, where it is gone, take over with `kubectl --namespace tutorial delete configmap "
        "mesh-lab-grader`"
    )
    second.release()
    assert first.ours()
    first.release()
    assert api.config_maps == {}
    second.take()
    assert second.ours()
    assert not first.ours()


def test_of_many_at_once_one_gets_it(api: FakeApi, clock: Clock) -> None:
    def taken(name: str) -> bool:
        try:
            lock(name, clock).take()
        except TestbedError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(taken, "abcdef")) == 1
        clock.time += LIFETIME  # it was killed: again one of them follows
        assert sum(pool.map(taken, "ghijkl")) == 1


def test_who_goes_on_keeps_it(api: FakeApi, clock: Clock) -> None:
    first, second = lock("anna", clock), lock("ben", clock)
    first.take()
    calls = len(api.said)
    first.renew()
    assert len(api.said) == calls  # not for every change
    for _ in range(5):
        clock.time += RENEWED
        first.renew()
    clock.time += LIFETIME - timedelta(seconds=1)
    with pytest.raises(TestbedError, match="anna grades in the namespace tutorial"):
        second.take()


@pytest.mark.parametrize("by_hand", [False, True], ids=["its time is over", "deleted by hand"])
def test_who_lost_it_ends_and_leaves_the_others_alone(
    api: FakeApi, clock: Clock, by_hand: bool
) -> None:
    first, second = lock("anna", clock), lock("ben", clock)
    first.take()
    if by_hand:
        Kubectl("tutorial").run("delete", "configmap", NAME)
    else:
        clock.time += LIFETIME
    second.take()
    clock.time += RENEWED
    assert not first.ours()
    with pytest.raises(TestbedError, match=r"took the namespace tutorial over.*: ben grades"):
        first.renew()
    first.release()
    assert second.ours()


def test_all_of_a_labs_namespaces_or_none(api: FakeApi, clock: Clock) -> None:
    lock("anna", clock, "two").take()
    with pytest.raises(TestbedError, match="anna grades in the namespace two"):
        lock("ben", clock, "two", "one").take()
    assert list(api.config_maps) == [("two", NAME)]


def test_one_that_says_no_time_is_respected(api: FakeApi, clock: Clock) -> None:
    api.stored("tutorial", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}})
    with pytest.raises(TestbedError, match=r"^somebody grades in the namespace tutorial: wait"):
        lock("ben", clock).take()


def test_without_the_right_to_it_kubectls_words_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    program = tmp_path / "kubectl"
    program.write_text('#!/bin/sh\necho "Error from server (Forbidden): no" >&2; exit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(TestbedError, match=r"cannot be held for this run \(Error.*Forbidden"):
        lock("ben", clock).take()


def test_a_holder_is_a_person_at_a_machine() -> None:
    assert " on " in this_process()
