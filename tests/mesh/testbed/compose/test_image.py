"""Which images of the kit are left when a copy of it has built its own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mesh.testbed.compose.image import UNUSED, Tagged, mark, unused

NOW = datetime(2026, 11, 30, tzinfo=UTC)
OURS = mark(Path("/home/anna/kit"))
THEIRS = mark(Path("/home/ben/kit"))
NEW, OLD = "kit-00000000000a", "kit-00000000000b"


@pytest.mark.parametrize(
    ("tags", "days", "gone"),
    [
        pytest.param((NEW, f"kit-{OURS}"), 0, (), id="what this copy uses"),
        pytest.param((OLD,), 0, (OLD,), id="what it used before"),
        pytest.param((OLD, f"kit-{THEIRS}"), 3, (), id="what another one uses"),
        pytest.param((OLD, f"kit-{THEIRS}"), 31, (OLD, f"kit-{THEIRS}"), id="for a month nobody"),
        pytest.param((NEW, f"kit-{OURS}", f"kit-{THEIRS}"), 99, (), id="a shared one"),
        pytest.param(("kit-envoy-00000000000b",), 99, (), id="another target"),
        pytest.param(("kit-envoy-" + OURS,), 99, (), id="another target's mark"),
        pytest.param(("0.1.0",), 99, (), id="an image of somebody's own"),
    ],
)
def test_what_goes(tags: tuple[str, ...], days: int, gone: tuple[str, ...]) -> None:
    image = Tagged(tags, NOW - timedelta(days=days))
    assert tuple(unused([image], "kit", OURS, NOW)) == gone


def test_each_copy_has_a_mark_of_its_own() -> None:
    assert OURS != THEIRS
    assert timedelta() < UNUSED
