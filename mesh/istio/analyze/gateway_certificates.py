"""IST0101, IST0138, IST0161: certificates that a gateway does not find, cannot use, or shares.

``credentialName`` is a Secret in the namespace of the gateway's pods.  A browser reuses a connection
for every host of its certificate, so two Gateways with one certificate answer each other's hosts
with 404.
Source: istio/istio ``pkg/config/analysis/analyzers/gateway`` ``secret.go`` and ``certificate.go``.
"""

from __future__ import annotations

import base64
import binascii
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime

from mesh.istio.analyze.context import Context
from mesh.istio.models.gateway import Gateway, ServerTLSSettings
from mesh.istio.models.kubernetes import ConfigData
from mesh.istio.nearest import listed, nearest, words
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource

MAX_RIVALS = 50
"""Gateways with one certificate that each is compared with."""
_CERTIFICATE, _KEY = ("tls.crt", "cert"), ("tls.key", "key")


def _gateways(context: Context) -> Iterator[tuple[Resource, Gateway]]:
    for each in context.by_kind.get("Gateway", ()):
        if isinstance(each.spec, Gateway):
            yield each, each.spec


def gateway_credentials(context: Context) -> Iterator[Problem]:
    """Check the Secrets that servers name, where Secrets are known."""
    secrets = {
        (each.namespace, each.name): each.spec
        for each in context.by_kind.get("Secret", ())
        if isinstance(each.spec, ConfigData)
    }
    if not secrets:
        return
    for resource, spec in _gateways(context):
        pods = context.pods.anywhere(spec.selector or {})
        if not pods:
            continue
        namespace = pods[0].namespace
        for index, server in enumerate(spec.servers or ()):
            name = server.tls.credential_name if server.tls else None
            if not name:
                continue
            path = f"spec.servers[{index}].tls.credentialName"
            secret = secrets.get((namespace, name))
            if secret is None:
                there = [known for space, known in secrets if space == namespace]
                near = nearest(name, there)
                yield resource.problem(
                    "IST0101",
                    Level.ERROR,
                    f'Referenced credentialName not found: "{name}"',
                    path,
                    expected=listed(there),
                    nearest=near,
                    hint=f"Did you mean {near}?"
                    if near
                    else f"It is a Secret in namespace {namespace}, where the gateway's pods are.",
                )
            elif reason := _wrong(secret):
                yield resource.problem(
                    "IST0161",
                    Level.ERROR,
                    f"The credential referenced by the Gateway {resource.name} in namespace "
                    f"{namespace} is invalid, which can cause the traffic not to work as expected.",
                    path,
                    hint=f"Secret {name}: {reason}.",
                )


def _wrong(secret: ConfigData) -> str:
    """Return what is wrong with a Secret, empty when nothing is."""
    from cryptography import x509

    try:
        certificate, key = _value(secret, _CERTIFICATE), _value(secret, _KEY)
    except (binascii.Error, ValueError):
        return "its data is no base64"
    if not certificate:
        return f"{_CERTIFICATE[0]} is missing"
    if not key:
        return f"{_KEY[0]} is missing"
    try:
        with warnings.catch_warnings():  # of what a later release of the library will refuse
            warnings.simplefilter("ignore")
            chain = x509.load_pem_x509_certificates(certificate)
    except ValueError:
        return "its certificate cannot be read"
    if any(each.not_valid_after_utc < datetime.now(UTC) for each in chain):
        return "its certificate has expired"
    return ""


def _value(secret: ConfigData, names: tuple[str, ...]) -> bytes:
    for name in names:
        if name in (secret.string_data or {}):
            return (secret.string_data or {})[name].encode()
        if name in (secret.data or {}):
            return base64.b64decode((secret.data or {})[name], validate=False)
    return b""


def shared_certificates(context: Context) -> Iterator[Problem]:
    """Find Gateways of the same pods with one certificate."""
    owners: dict[tuple[str, ...], list[tuple[Resource, Gateway]]] = {}
    for resource, spec in _gateways(context):
        keys = {_certificate_of(each.tls) for each in spec.servers or () if each.tls} - {()}
        for key in keys:
            owners.setdefault(key, []).append((resource, spec))
    told: set[int] = set()
    for found in owners.values():
        for resource, spec in found if len(found) > 1 else ():
            rivals = [
                f"{other.namespace}/{other.name}"
                for other, theirs in found[:MAX_RIVALS]
                if other is not resource
                and (spec.selector or {}).items() <= (theirs.selector or {}).items()
            ]
            if rivals and id(resource) not in told:
                told.add(id(resource))
                names = words([f"{resource.namespace}/{resource.name}", *rivals])
                yield resource.problem(
                    "IST0138",
                    Level.WARNING,
                    f"Duplicate certificate in multiple gateways [{names}] may cause 404s if "
                    "clients re-use HTTP2 connections.",
                    "metadata.name",
                    hint="Put the servers into one Gateway, or give each a certificate of its own.",
                )


def _certificate_of(tls: ServerTLSSettings) -> tuple[str, ...]:
    """Return what names a certificate: a Secret, or a pair of files."""
    if tls.credential_name:
        return (tls.credential_name,)
    if tls.server_certificate and tls.private_key:
        return tls.server_certificate, tls.private_key
    return ()
