"""Conditions of Envoy's RBAC filter: permissions (what is called) and principals (who calls).

Istio's ways to write a value: ``abc`` exact, ``abc*`` prefix, ``*abc`` suffix, ``*`` anything that is not
empty.  Hosts are compared without regard to case, everything else with it; paths without their
query.  An identity is written without ``spiffe://``.  Claims come from the JWT filter's metadata.
Source: istio/istio ``pilot/pkg/security/authz/model/generator.go``, ``.../matcher``.
Shown by ``meshctl proxy-config listener POD -o json``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence

from envoy_data_plane.envoy.config.core.v3 import CidrRange
from envoy_data_plane.envoy.config.rbac.v3 import (
    Permission,
    PermissionSet,
    Principal,
    PrincipalAuthenticated,
    PrincipalSet,
    SourcedMetadata,
)
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.type.matcher.v3 import (
    ListMatcher,
    MetadataMatcher,
    MetadataMatcherPathSegment,
    OrMatcher,
    PathMatcher,
    StringMatcher,
    ValueMatcher,
)

from mesh.citadel.identity import SCHEME
from mesh.pilot.translate import messages

JWT_FILTER = "envoy.filters.http.jwt_authn"
PAYLOAD = "payload"
"""Key below which the JWT filter leaves the claims of a token that is in order."""
_SEGMENT = r"[a-zA-Z0-9\-._~%!$&'()+,;:@]"
_TEMPLATE = re.compile(r"\{\*\*?\}")


def text(value: str, before: str = "", *, fold: bool = False) -> StringMatcher:
    """Return the matcher of a value as Istio writes it; ``before`` is what Istio adds in front."""
    if value == "*":
        return StringMatcher(safe_regex=messages.regex(".+"))
    if value.startswith("*"):
        return StringMatcher(suffix=value[1:], ignore_case=fold)
    if value.endswith("*"):
        return StringMatcher(prefix=before + value[:-1], ignore_case=fold)
    return StringMatcher(exact=before + value, ignore_case=fold)


def header(name: str, value: str, *, fold: bool = False) -> HeaderMatcher:
    """Return the matcher of a header; ``*``: it is there."""
    if value == "*":
        return HeaderMatcher(name=name, present_match=True)
    return HeaderMatcher(name=name, string_match=text(value, fold=fold))


def cidr(value: str) -> CidrRange:
    """Return an address range; ValueError when it is none."""
    network = ipaddress.ip_network(value, strict=False)
    return CidrRange(address_prefix=str(network.network_address), prefix_len=network.prefixlen)


# Permissions.


def host(value: str) -> Permission:
    """Return "the Host is"."""
    return Permission(header=header(":authority", value, fold=True))


def method(value: str) -> Permission:
    """Return "the method is"."""
    return Permission(header=header(":method", value))


def path(value: str) -> Permission:
    """Return "the path is"; ``{*}`` stands for one segment, ``{**}`` for any number of them."""
    if not _TEMPLATE.search(value):
        return Permission(url_path=PathMatcher(path=text(value)))
    parts = _TEMPLATE.split(value)
    signs = [
        f"{_SEGMENT}+" if sign == "{*}" else f"(?:{_SEGMENT}|/)*"
        for sign in _TEMPLATE.findall(value)
    ]
    pattern = re.escape(parts[0])
    for sign, part in zip(signs, parts[1:], strict=True):
        pattern += sign + re.escape(part)
    return Permission(url_path=PathMatcher(path=StringMatcher(safe_regex=messages.regex(pattern))))


def port(number: int) -> Permission:
    """Return "the port that the sidecar listens on is"."""
    return Permission(destination_port=number)


def destination_ip(value: str) -> Permission:
    """Return "the address called is"."""
    return Permission(destination_ip=cidr(value))


def sni(value: str) -> Permission:
    """Return "the TLS server name is"."""
    return Permission(requested_server_name=text(value))


def filter_metadata(key: str, value: str) -> Permission:
    """Return "the metadata ``experimental.envoy.filters.NAME[KEY]`` is" (``[v]``: a list has v)."""
    name, _, rest = key.removeprefix("experimental.").removesuffix("]").partition("[")
    if value.startswith("[") and value.endswith("]"):
        one = ValueMatcher(string_match=text(value[1:-1]))
        wanted = ValueMatcher(list_match=ListMatcher(one_of=one))
    else:
        wanted = ValueMatcher(string_match=text(value))
    segment = MetadataMatcherPathSegment(key=rest)
    matcher = MetadataMatcher(filter=name, path=[segment], value=wanted)
    return Permission(sourced_metadata=SourcedMetadata(metadata_matcher=matcher))


# Principals.


def identity(matcher: StringMatcher) -> Principal:
    """Return "the client's certificate names"."""
    return Principal(authenticated=PrincipalAuthenticated(principal_name=matcher))


def principal(value: str) -> Principal:
    """Return "the caller is" (``cluster.local/ns/tutorial/sa/customer``)."""
    return identity(text(value, SCHEME))


def namespace(value: str) -> Principal:
    """Return "the caller's namespace is"."""
    pattern = value.replace("*", ".*")
    return identity(StringMatcher(safe_regex=messages.regex(f".*/ns/{pattern}/.*")))


def service_account(value: str, own: str) -> Principal:
    """Return "the caller's service account is" (``NAME`` of namespace ``own``, or ``NS/NAME``)."""
    space, _, name = value.rpartition("/")
    pattern = f"spiffe://.+/ns/{re.escape(space or own)}/(.+/|)sa/{re.escape(name)}(/.+)?"
    return identity(StringMatcher(safe_regex=messages.regex(pattern)))


def trust_domain(value: str) -> Principal:
    """Return "the caller's trust domain is"."""
    pattern = ".*".join(re.escape(part) for part in value.split("*"))
    return identity(StringMatcher(safe_regex=messages.regex(f"spiffe://{pattern}/.*")))


def source_ip(value: str) -> Principal:
    """Return "the address of the connection is"."""
    return Principal(direct_remote_ip=cidr(value))


def remote_ip(value: str) -> Principal:
    """Return "the original client's address is" (x-forwarded-for, where that is trusted)."""
    return Principal(remote_ip=cidr(value))


def request_header(name: str, value: str) -> Principal:
    """Return "the header is"."""
    return Principal(header=header(name, value))


def claims(names: Sequence[str], values: Iterable[str]) -> Principal:
    """Return "the token's claim is, or contains, one of"; nested claims by several names."""
    alternatives = [ValueMatcher(string_match=text(value)) for value in values]
    listed = [
        ValueMatcher(list_match=ListMatcher(one_of=ValueMatcher(string_match=each.string_match)))
        for each in alternatives
    ]
    return _claim(names, ValueMatcher(or_match=OrMatcher(value_matchers=alternatives + listed)))


def request_principal(value: str) -> Principal:
    """Return "the token is of ``ISSUER/SUBJECT``"; the last slash divides them."""
    issuer, slash, subject = value.rpartition("/")
    if not slash:
        issuer, subject = value, ""
    anything = StringMatcher(safe_regex=messages.regex(".+"))
    if value == "*":
        who, what = anything, anything
    elif value.startswith("*"):
        if slash:
            who = anything if issuer == "*" else StringMatcher(suffix=issuer[1:])
            what = StringMatcher(exact=subject)
        else:
            who, what = anything, StringMatcher(suffix=value[1:])
    elif value.endswith("*"):
        if slash:
            who = StringMatcher(exact=issuer)
            what = anything if subject == "*" else StringMatcher(prefix=subject[:-1])
        else:
            who, what = StringMatcher(prefix=value[:-1]), anything
    else:
        who, what = StringMatcher(exact=issuer), StringMatcher(exact=subject)
    both = [
        _claim(["iss"], ValueMatcher(string_match=who)),
        _claim(["sub"], ValueMatcher(string_match=what)),
    ]
    return Principal(and_ids=PrincipalSet(ids=both))


def _claim(names: Sequence[str], value: ValueMatcher) -> Principal:
    path = [MetadataMatcherPathSegment(key=each) for each in (PAYLOAD, *names)]
    matcher = MetadataMatcher(filter=JWT_FILTER, path=path, value=value)
    return Principal(sourced_metadata=SourcedMetadata(metadata_matcher=matcher))


# Joined.


def permitted(all_of: Sequence[Permission]) -> Permission:
    """Return "all of these hold"; of nothing: anything."""
    return Permission(and_rules=PermissionSet(rules=list(all_of) or [Permission(any=True)]))


def who(all_of: Sequence[Principal]) -> Principal:
    """Return "all of these hold"; of nothing: anybody."""
    return Principal(and_ids=PrincipalSet(ids=list(all_of) or [Principal(any=True)]))


def one_permission(of: Sequence[Permission], no: Sequence[Permission]) -> list[Permission]:
    """Return "one of ``of``" and "none of ``no``", what there is of the two."""
    found = [Permission(or_rules=PermissionSet(rules=list(of)))] if of else []
    if no:
        none = Permission(or_rules=PermissionSet(rules=list(no)))
        found.append(Permission(not_rule=none))
    return found


def one_principal(of: Sequence[Principal], no: Sequence[Principal]) -> list[Principal]:
    """Return "one of ``of``" and "none of ``no``", what there is of the two."""
    found = [Principal(or_ids=PrincipalSet(ids=list(of)))] if of else []
    if no:
        found.append(Principal(not_id=Principal(or_ids=PrincipalSet(ids=list(no)))))
    return found


def permissions(
    make: Callable[[str], Permission], yes: Sequence[str] | None, no: Sequence[str] | None
) -> list[Permission]:
    """Return ``one_permission`` of a field's values and of those of its ``not...``."""
    return one_permission([make(each) for each in yes or []], [make(each) for each in no or []])


def principals(
    make: Callable[[str], Principal], yes: Sequence[str] | None, no: Sequence[str] | None
) -> list[Principal]:
    """Return ``one_principal`` of a field's values and of those of its ``not...``."""
    return one_principal([make(each) for each in yes or []], [make(each) for each in no or []])
