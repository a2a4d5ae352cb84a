from __future__ import annotations

from typing import Any

import pytest
from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import Cluster

from mesh.pilot.plain import CLASSES, make_plain


@pytest.mark.parametrize("kind", CLASSES, ids=lambda each: str(each.__name__))
def test_a_message_is_the_one_that_the_library_makes(kind: type[Message]) -> None:
    make_plain()
    made: Any = kind()
    assert bytes(made) == b""
    assert made == kind.parse(b"")
    names = {name for name, value in vars(made).items() if isinstance(value, list | dict)}
    assert all(vars(made)[name] is not vars(kind())[name] for name in names)


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(TypeError, match="Cluster has no field nmae"):
        Cluster(nmae="x")  # type: ignore[call-arg]
