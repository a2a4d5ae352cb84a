"""The guard: only our own names, our own pages, and who has the token."""

from __future__ import annotations

import pytest
import requests

from mesh.console.guard import Guard, read_origin
from tests.mesh.console.conftest import Console

GUARD = Guard(8050, "https://lab.example", "secret")


@pytest.mark.parametrize("host", ["127.0.0.1:8050", "localhost:8050", "lab.example"])
def test_our_own_names(host: str) -> None:
    assert GUARD.check(host, "", "secret") is None


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1", "127.0.0.1:80", "evil.example:8050"]
)
def test_another_host_is_refused(host: str) -> None:
    refusal = GUARD.check(host, "", "secret")
    assert refusal is not None
    assert refusal.status == 403


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", "http://127.0.0.1:9", "http://lab.example"]
)
def test_another_origin_is_refused(origin: str) -> None:
    refusal = GUARD.check("localhost:8050", origin, "secret")
    assert refusal is not None
    assert repr(origin) in refusal.reason


@pytest.mark.parametrize("token", ["", "Secret", "secret "])
def test_without_the_token_nothing_is_told(token: str) -> None:
    refusal = GUARD.check("localhost:8050", "http://localhost:8050", token)
    assert refusal is not None
    assert refusal.status == 401


def test_every_console_has_a_token_of_its_own() -> None:
    assert Guard(1).token != Guard(1).token
    assert Guard(1).token not in repr(Guard(1))


@pytest.mark.parametrize(
    "text", ["lab.example", "ftp://lab.example", "https://lab.example/path", "https://"]
)
def test_a_wrong_origin_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        read_origin(text)
    assert read_origin("https://lab.example/") == "https://lab.example"


def test_a_change_from_elsewhere_is_refused(console: Console) -> None:
    """What another page in the same browser could try: it has neither token nor our origin."""
    url = f"{console.address}/_dash-update-component"
    assert requests.post(url, json={}, timeout=10).status_code == 401
    own = {"mesh-console": console.guard.token}
    foreign = {"Origin": "https://evil.example"}
    assert requests.post(url, json={}, cookies=own, headers=foreign, timeout=10).status_code == 403
    rebound = {"Host": f"evil.example:{console.guard.port}"}
    assert (
        requests.get(console.address, cookies=own, headers=rebound, timeout=10).status_code == 403
    )


def test_the_token_leaves_the_address_bar(console: Console) -> None:
    first = requests.get(console.way_in, allow_redirects=False, timeout=10)
    assert first.status_code == 302
    assert first.headers["Location"] == "/"
    assert "HttpOnly" in first.headers["Set-Cookie"]
    assert "SameSite=Strict" in first.headers["Set-Cookie"]
    assert "default-src 'self'" in first.headers["Content-Security-Policy"]
