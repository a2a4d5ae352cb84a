"""Subject alternative names: whether a certificate belongs to whom we expect.

A chain that leads to the right CA only proves that the peer is of the mesh; which workload it is
stands in its names.  Istio writes the expected SPIFFE ids of a service into
``match_typed_subject_alt_names`` (DestinationRule ``tls.subjectAltNames`` does it by hand); one
match is enough.  An exact DNS matcher also accepts the wildcard of a certificate (``*.example.com``).

Source: Envoy ``source/common/tls/cert_validator/san_matcher.cc``, ``utility.cc`` (dnsNameMatch).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    SubjectAltNameMatcherSanType,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.filters.matchers import string_test
from mesh.sidecar.tls.peer import CertificateFacts

_KINDS = {
    SubjectAltNameMatcherSanType.URI: "uri_sans",
    SubjectAltNameMatcherSanType.DNS: "dns_sans",
    SubjectAltNameMatcherSanType.IP_ADDRESS: "ip_sans",
    SubjectAltNameMatcherSanType.EMAIL: "email_sans",
}


@dataclass(frozen=True, slots=True)
class SanMatcher:
    """Matches the names of one kind (a field of CertificateFacts)."""

    kind: str
    test: Callable[[str], bool]

    def matches(self, facts: CertificateFacts) -> bool:
        """Whether one of the certificate's names of this kind fits."""
        return any(self.test(name) for name in getattr(facts, self.kind))


def dns_match(name: str, pattern: str) -> bool:
    """Whether host ``name`` is covered by a certificate's ``pattern`` (a wildcard for one label)."""
    name, pattern = name.lower(), pattern.lower()
    if name == pattern:
        return True
    label, dot, rest = name.partition(".")
    return pattern.startswith("*.") and bool(label and dot) and rest == pattern[2:]


def _compile(matcher: StringMatcher, kind: str) -> SanMatcher:
    if kind == "dns_sans" and matcher.exact is not None:
        wanted = matcher.exact
        return SanMatcher(kind, lambda name: dns_match(wanted, name))
    return SanMatcher(kind, string_test(matcher))


def compile_sans(context: CertificateValidationContext) -> tuple[SanMatcher, ...]:
    """Compile the matchers of ``context``.  ConfigRefusedError or ValueError for another kind."""
    made: list[SanMatcher] = []
    for item in context.match_typed_subject_alt_names:
        kind = _KINDS.get(item.san_type)
        if kind is None or item.matcher is None:
            raise ConfigRefusedError(f"subject alternative name of type {item.san_type!r}")
        made.append(_compile(item.matcher, kind))
    for matcher in context.match_subject_alt_names:
        made += [_compile(matcher, kind) for kind in _KINDS.values()]
    return tuple(made)


def accepted(matchers: tuple[SanMatcher, ...], facts: CertificateFacts) -> bool:
    """Whether ``facts`` fit one of ``matchers``, or nothing is asked for."""
    return not matchers or any(matcher.matches(facts) for matcher in matchers)
