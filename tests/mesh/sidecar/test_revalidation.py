"""The class's own validator finds what a new one of its schema finds."""

from collections.abc import Iterator

import pytest
from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import SocketAddress
from pydantic import ValidationError

from mesh.sidecar.revalidation import reuse_validators

BAD = [Cluster(name="a"), SocketAddress(address="127.0.0.1", port_value=1)]
BAD[0].alt_stat_name = 5  # type: ignore[attr-defined]
BAD[1].port_value = 2**40  # type: ignore[attr-defined]


@pytest.fixture(params=["library", "kit"])
def validating(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Message, "_validate", Message._validate)  # put back afterwards
    if request.param == "kit":
        reuse_validators()
    return


@pytest.mark.usefixtures("validating")
@pytest.mark.parametrize("message", BAD, ids=lambda each: type(each).__name__)
def test_a_wrong_value_is_found(message: Message) -> None:
    with pytest.raises(ValidationError, match="1 validation error"):
        bytes(message)


@pytest.mark.usefixtures("validating")
def test_a_right_message_is_read() -> None:
    cluster = Cluster(name="a", alt_stat_name="b")
    assert Cluster.parse(bytes(cluster)) == cluster
