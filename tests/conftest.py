"""Which tests stay together when several run at a time (``make test ARGS="-n 2 --dist loadgroup"``)."""

import pytest
from hypothesis import HealthCheck, settings

# No test asserts a time: how long an example takes says what else the machine does.
settings.register_profile("kit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kit")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Those of a file do, for they share what they start; a test may name another group.

    At this early moment: the workers read the groups before hooks of a conftest see the whole list.
    """
    if item.get_closest_marker("xdist_group") is None:
        item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
