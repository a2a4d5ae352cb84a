"""The choice of a filter chain is Envoy's: criterion by criterion, the most specific first."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_data_plane.envoy.config.listener.v3 import FilterChainMatch

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.filter_chain_match import ConnectionFacts, Match, choose, compile_match

HERE = ("10.0.0.1", 8443)
THERE = ("10.1.2.3", 40000)


def chosen(matches: dict[str, dict[str, Any]], **facts: Any) -> str | None:
    names = list(matches)
    compiled = [compile_match(FilterChainMatch.from_dict(raw)) for raw in matches.values()]
    place = choose(compiled, ConnectionFacts(**{"local": HERE, "remote": THERE, **facts}))
    return None if place is None else names[place]


def test_nothing_asked_takes_everything() -> None:
    assert compile_match(None) == Match()
    assert chosen({"all": {}}) == "all"


def test_the_own_port_goes_before_any_port() -> None:
    matches = {"any": {}, "own": {"destinationPort": 8443}, "other": {"destinationPort": 1}}
    assert chosen(matches) == "own"
    assert chosen(matches, local=("10.0.0.1", 9)) == "any"


def test_a_port_that_fits_is_not_left_again() -> None:
    matches = {"any": {}, "own": {"destinationPort": 8443, "serverNames": ["a.test"]}}
    assert chosen(matches, server_name="b.test") is None


def test_server_names_from_exact_over_the_longest_wildcard_to_none() -> None:
    matches = {
        "none": {},
        "com": {"serverNames": ["*.com"]},
        "example": {"serverNames": ["*.example.com"]},
        "exact": {"serverNames": ["www.example.com", "EXAMPLE.com"]},
    }
    for name, chain in {
        "www.example.com": "exact",
        "example.com": "exact",
        "x.example.com": "example",
        "x.y.example.com": "example",
        "y.com": "com",
        "y.org": "none",
        "com": "none",
        "": "none",
    }.items():
        assert chosen(matches, server_name=name) == chain, name


def test_permissive_has_a_chain_for_each_transport() -> None:
    matches = {"tls": {"transportProtocol": "tls"}, "plain": {"transportProtocol": "raw_buffer"}}
    assert chosen(matches, transport_protocol="tls") == "tls"
    assert chosen(matches) == "plain"
    assert chosen({"strict": {"transportProtocol": "tls"}}) is None


def test_the_clients_order_of_protocols_counts() -> None:
    matches = {
        "istio": {"applicationProtocols": ["istio", "istio-http/1.1"]},
        "h2": {"applicationProtocols": ["h2"]},
        "any": {},
    }
    assert chosen(matches, application_protocols=("h2", "istio")) == "h2"
    assert chosen(matches, application_protocols=("x", "istio-http/1.1")) == "istio"
    assert chosen(matches, application_protocols=("x",)) == "any"
    assert chosen(matches) == "any"


def test_the_longest_network_that_holds_the_address() -> None:
    def ranges(key: str, prefix: str, length: int) -> dict[str, Any]:
        return {key: [{"addressPrefix": prefix, "prefixLen": length}]}

    for key, address in (("sourcePrefixRanges", "10.1.2.3"), ("prefixRanges", "10.0.0.1")):
        matches = {
            "all": {},
            "wide": ranges(key, "10.0.0.0", 8),
            "host": ranges(key, address, 32),
            "other": ranges(key, "192.168.0.0", 16),
        }
        assert chosen(matches) == "host"
        del matches["host"]
        assert chosen(matches) == "wide"
        assert chosen(matches, remote=("127.0.0.1", 1), local=("127.0.0.1", 2)) == "all"


def test_source_type_and_port() -> None:
    matches = {"local": {"sourceType": "SAME_IP_OR_LOOPBACK"}, "far": {"sourceType": "EXTERNAL"}}
    assert chosen(matches) == "far"
    assert chosen(matches, remote=("127.0.0.1", 1)) == "local"
    assert chosen(matches, remote=("10.0.0.1", 1)) == "local"
    assert chosen({"one": {"sourcePorts": [40000]}, "any": {}}) == "one"
    assert chosen({"one": {"sourcePorts": [1]}, "any": {}}) == "any"


@pytest.mark.parametrize(
    "raw", [{"addressSuffix": "1"}, {"serverNames": ["w*.test"]}, {"serverNames": ["*.*.test"]}]
)
def test_what_cannot_be_executed_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ConfigRefusedError, match="filter_chain_match"):
        compile_match(FilterChainMatch.from_dict(raw))
