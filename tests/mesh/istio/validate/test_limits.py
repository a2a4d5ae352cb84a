"""Hostile values cost neither a traceback nor a flood of problems."""

from collections.abc import Callable

from mesh.istio import Problem

type Check = Callable[..., list[Problem]]


def test_problems_of_one_resource_are_cut(check: Check) -> None:
    hosts = ", ".join(["'{'"] * 5000)
    found = check(
        "VirtualService", f"hosts: [{hosts}]\nhttp: [{{route: [{{destination: {{host: r}}}}]}}]"
    )
    assert len(found) == 101
    assert "the others are not shown" in found[-1].message


def test_many_hosts_and_long_values(check: Check) -> None:
    hosts = ", ".join(f"h{n}" for n in range(20_000))
    spec = f"hosts: [{hosts}]\nhttp: [{{route: [{{destination: {{host: r}}}}]}}]"
    assert check("VirtualService", spec) == []
    value = "%A(" * 100_000
    spec = (
        "hosts: [r]\nhttp:\n- route: [{destination: {host: r}}]\n"
        f"  headers: {{request: {{set: {{x: '{value}'}}}}}}\n"
        f"  retries: {{attempts: 1, retryOn: '{'a,' * 100_000}'}}"
    )
    assert len(check("VirtualService", spec)) == 101


def test_large_regular_expressions(check: Check) -> None:
    pattern = r"((\\pL{100}){100}){10}"
    matches = ", ".join(f'{{uri: {{regex: "{pattern}"}}}}' for _ in range(200))
    spec = f"hosts: [r]\nhttp: [{{match: [{matches}], route: [{{destination: {{host: r}}}}]}}]"
    found = check("VirtualService", spec)
    assert len(found) == 101
    assert "error parsing regexp" in found[0].message
