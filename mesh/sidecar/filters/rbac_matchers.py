"""The conditions of an authorization policy: permissions, principals, and claims.

A permission says what is called (host, method, path, port), a principal who calls (the names in the
client's certificate, its address, headers, the claims of its token).  Each is compiled once into
a function.  What an AuthorizationPolicy becomes is shown by
``meshctl proxy-config listeners POD -o json``.

Source: Envoy ``source/extensions/filters/common/rbac/matchers.cc``,
``source/common/common/matchers.cc`` (MetadataMatcher, ValueMatcher).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from envoy_data_plane.envoy.config.core.v3 import CidrRange
from envoy_data_plane.envoy.config.rbac.v3 import (
    MetadataSource,
    Permission,
    Policy,
    Principal,
    SourcedMetadata,
)
from envoy_data_plane.envoy.type.matcher.v3 import MetadataMatcher, PathMatcher, ValueMatcher

from mesh.sidecar.filters.head import path_of, wire
from mesh.sidecar.filters.matchers import header_test, string_test
from mesh.sidecar.filters.rbac_facts import RequestFacts

Test = Callable[[RequestFacts], bool]
ValueTest = Callable[[Any], bool]

MISSING = object()
"""The value of a claim that is not there: no test of a value holds for it."""


def compile_policy(policy: Policy) -> Test:
    """Compile a policy: one of its permissions and one of its principals must hold."""
    for name in ("condition", "checked_condition"):
        if getattr(policy, name) is not None:
            raise ValueError(f"policy: {name} (CEL) cannot be executed")
    what = _any([compile_permission(each) for each in policy.permissions])
    who = _any([compile_principal(each) for each in policy.principals])
    return lambda facts: what(facts) and who(facts)


def compile_permission(rule: Permission) -> Test:
    """Compile a permission; ValueError for a kind that cannot be executed."""
    if rule.and_rules is not None:
        return _all([compile_permission(each) for each in rule.and_rules.rules])
    if rule.or_rules is not None:
        return _any([compile_permission(each) for each in rule.or_rules.rules])
    if rule.not_rule is not None:
        return _not(compile_permission(rule.not_rule))
    if rule.any is not None:
        return lambda facts: True
    if rule.header is not None:
        header = header_test(rule.header)
        return lambda facts: header(facts.head)
    if rule.url_path is not None:
        return _path(rule.url_path)
    if rule.destination_ip is not None:
        local = _address(rule.destination_ip)
        return lambda facts: local(facts.local)
    if rule.destination_port is not None:
        port = rule.destination_port
        return lambda facts: facts.port == port
    if rule.destination_port_range is not None:
        start, end = rule.destination_port_range.start, rule.destination_port_range.end
        return lambda facts: start <= facts.port < end
    if rule.metadata is not None:
        return metadata_test(rule.metadata)
    if rule.sourced_metadata is not None:
        return _sourced(rule.sourced_metadata)
    if rule.requested_server_name is not None:
        name = string_test(rule.requested_server_name)
        return lambda facts: name(facts.server_name)
    raise ValueError(f"permission: cannot be executed: {_kind(rule)}")


def compile_principal(principal: Principal) -> Test:
    """Compile a principal; ValueError for a kind that cannot be executed."""
    if principal.and_ids is not None:
        return _all([compile_principal(each) for each in principal.and_ids.ids])
    if principal.or_ids is not None:
        return _any([compile_principal(each) for each in principal.or_ids.ids])
    if principal.not_id is not None:
        return _not(compile_principal(principal.not_id))
    if principal.any is not None:
        return lambda facts: True
    if principal.authenticated is not None:
        if principal.authenticated.principal_name is None:
            return lambda facts: facts.encrypted
        name = string_test(principal.authenticated.principal_name)
        return lambda facts: facts.encrypted and any(map(name, facts.names or ("",)))
    for given, read in (
        (principal.source_ip, lambda facts: facts.direct),
        (principal.direct_remote_ip, lambda facts: facts.direct),
        (principal.remote_ip, lambda facts: facts.remote),
    ):
        if given is not None:
            return _read(_address(given), read)
    if principal.header is not None:
        header = header_test(principal.header)
        return lambda facts: header(facts.head)
    if principal.url_path is not None:
        return _path(principal.url_path)
    if principal.metadata is not None:
        return metadata_test(principal.metadata)
    if principal.sourced_metadata is not None:
        return _sourced(principal.sourced_metadata)
    raise ValueError(f"principal: cannot be executed: {_kind(principal)}")


def _sourced(given: SourcedMetadata) -> Test:
    if given.metadata_source != MetadataSource.DYNAMIC or given.metadata_matcher is None:
        raise ValueError("sourced_metadata: only what filters found out can be asked for")
    return metadata_test(given.metadata_matcher)


def metadata_test(matcher: MetadataMatcher) -> Test:
    """Compile a MetadataMatcher: a value that a filter before has found out."""
    if matcher.value is None:
        raise ValueError("metadata: a value is needed")
    test, invert = value_test(matcher.value), matcher.invert
    name, keys = matcher.filter, [each.key for each in matcher.path]

    def check(facts: RequestFacts) -> bool:
        value: Any = facts.metadata.get(name, MISSING)
        for key in keys:
            value = value.get(key, MISSING) if isinstance(value, Mapping) else MISSING
        return test(value) is not invert

    return check


def value_test(matcher: ValueMatcher) -> ValueTest:
    """Compile a ValueMatcher for a value as JSON has it."""
    if matcher.string_match is not None:
        string = string_test(matcher.string_match)
        return lambda value: isinstance(value, str) and string(wire(value))
    if matcher.list_match is not None and matcher.list_match.one_of is not None:
        one = value_test(matcher.list_match.one_of)
        return lambda value: isinstance(value, list) and any(map(one, value))
    if matcher.or_match is not None:
        tests = [value_test(each) for each in matcher.or_match.value_matchers]
        return lambda value: any(test(value) for test in tests)
    if matcher.bool_match is not None:
        wanted = matcher.bool_match
        return lambda value: value is wanted
    if matcher.present_match is not None:
        there = matcher.present_match  # false: holds for nothing, as in Envoy
        return lambda value: there and value is not MISSING
    if matcher.null_match is not None:
        return lambda value: value is None
    raise ValueError("metadata: only strings, lists, booleans, null and presence can be executed")


def _path(matcher: PathMatcher) -> Test:
    if matcher.path is None:
        raise ValueError("url_path: a path is needed")
    test = string_test(matcher.path)
    return lambda facts: test(path_of(facts.head.path))


def _address(block: CidrRange) -> Callable[[str], bool]:
    length = block.prefix_len or 0
    network = ipaddress.ip_network(f"{block.address_prefix}/{length}", strict=False)

    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text) in network
        except ValueError:
            return False

    return check


def _read(test: Callable[[str], bool], read: Callable[[RequestFacts], str]) -> Test:
    return lambda facts: test(read(facts))


def _all(tests: Sequence[Test]) -> Test:
    return lambda facts: all(test(facts) for test in tests)


def _any(tests: Sequence[Test]) -> Test:
    return lambda facts: any(test(facts) for test in tests)


def _not(test: Test) -> Test:
    return lambda facts: not test(facts)


def _kind(message: Any) -> str:
    found = [name for name, value in vars(message).items() if value is not None]
    return ", ".join(found) or "nothing is set"
