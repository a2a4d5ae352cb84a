"""The rules of Gateway: servers, their hosts, ports and TLS.

Source: istio/istio ``pkg/config/validation/validation.go`` ValidateGateway, validateServer.
"""

from __future__ import annotations

from collections import Counter

from mesh.istio.models.gateway import Gateway, Port, Server, ServerTLSSettings
from mesh.istio.validate import names
from mesh.istio.validate.findings import Findings, Steps

_SUITES = frozenset(
    [
        *(
            f"ECDHE-{key}-{cipher}"
            for key in ("ECDSA", "RSA")
            for cipher in (
                "AES128-GCM-SHA256",
                "AES256-GCM-SHA384",
                "CHACHA20-POLY1305",
                "AES128-SHA",
                "AES256-SHA",
            )
        ),
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "DES-CBC3-SHA",
    ]
)
_PROTOCOLS = "HTTP, HTTP2, GRPC, GRPC-WEB, MONGO, REDIS, MYSQL, TCP"


def check_gateway(spec: Gateway, found: Findings) -> None:
    """Check a Gateway."""
    if not names.is_label(found.resource.name):
        found.error(("metadata", "name"), f'invalid gateway name: "{found.resource.name}"')
    if not spec.servers:
        text = "gateway must have at least one server"
        found.error(("spec",), text, expected="servers")
    seen: set[str] = set()
    for index, server in enumerate(spec.servers or []):
        path: Steps = ("spec", "servers", index)
        _check_server(server, path, found)
        name = server.port.name or ""
        if name in seen:
            text = f"port names in servers must be unique: duplicate name {name}"
            found.error((*path, "port", "name"), text)
        seen.add(name)
        if server.tls and server.tls.https_redirect and not names.is_http(server.port.protocol):
            text = "tls.httpsRedirect should only be used with http servers"
            found.warning((*path, "tls", "httpsRedirect"), text)


def _check_server(server: Server, path: Steps, found: Findings) -> None:
    if not server.hosts:
        found.error((*path, "hosts"), "server config must contain at least one host")
    for index, host in enumerate(server.hosts):
        found.check((*path, "hosts", index), names.namespaced_host_error(host, gateway=True))
    good = _check_port(server.port, server.bind or "", (*path, "port"), found)
    check_bind(server.port.number or 0, server.bind, path, found)
    if server.tls is not None:
        check_server_tls(server.tls, (*path, "tls"), found)
    if not good:
        return
    protocol = server.port.protocol
    if names.is_tls(protocol) and server.tls is None:
        text = "server must have TLS settings for HTTPS/TLS protocols"
        found.error(path, text, "Add `tls:` with a `mode:`.", "tls")
    elif not names.is_tls(protocol) and server.tls is not None:
        if not names.is_http(protocol):
            found.error((*path, "tls"), "server cannot have TLS settings for non HTTPS/TLS ports")
        elif server.tls.mode not in (None, "PASSTHROUGH") or (
            server.tls.ca_certificates or server.tls.private_key or server.tls.server_certificate
        ):
            text = "server cannot have TLS settings for plain text HTTP ports"
            found.error((*path, "tls"), text, "Set `port.protocol: HTTPS`.")


def _check_port(port: Port, bind: str, path: Steps, found: Findings) -> bool:
    before = len(found.problems)
    if names.protocol_error(port.protocol) or not port.protocol:
        text = f'invalid protocol "{port.protocol or ""}", supported protocols are {_PROTOCOLS}'
        found.error((*path, "protocol"), text, expected=_PROTOCOLS)
    if port.number or not bind.startswith("unix://"):
        found.port((*path, "number"), port.number)
    if port.target_port:
        found.error((*path, "targetPort"), "targetPort has no impact on Gateways")
    if not port.name:
        found.error(path, f"port name must be set: number:{port.number or 0}", "Add `name:`.")
    return len(found.problems) == before


def check_bind(number: int, bind: str | None, path: Steps, found: Findings) -> None:
    """Check the address that a listener binds to."""
    if not bind:
        return
    here: Steps = (*path, "bind")
    if bind.startswith("unix://"):
        found.check(here, names.unix_error(bind.removeprefix("unix://")))
        if number:
            text = f"port number must be 0 for unix domain socket: number:{number}"
            found.error((*path, "port", "number"), text)
    elif not names.is_ip(bind):
        found.error(here, f"{bind} is not a valid IP")


def check_server_tls(tls: ServerTLSSettings, path: Steps, found: Findings) -> None:
    """Check the TLS settings of a server (also of a Sidecar's ingress)."""
    mode = tls.mode or "PASSTHROUGH"
    material = (
        ("serverCertificate", tls.server_certificate, "server certificate"),
        ("privateKey", tls.private_key, "private key"),
        ("caCertificates", tls.ca_certificates, "CA bundle"),
        ("tlsCertificates", tls.tls_certificates, "tlsCertificates"),
        ("credentialName", tls.credential_name, "credentialName"),
        ("credentialNames", tls.credential_names, "credentialNames"),
    )
    _check_versions(tls, path, found)
    if mode == "ISTIO_MUTUAL":
        for field, value, said in material:
            if value:
                found.error((*path, field), f"ISTIO_MUTUAL TLS cannot have associated {said}")
        return
    if mode in ("PASSTHROUGH", "AUTO_PASSTHROUGH"):
        given = tls.ca_crl or any(value for _, value, _ in material)
        if given and found.era.release >= (1, 15):
            text = f"{mode} mode does not use certificates, they will be ignored"
            found.warning((*path, "mode"), text)
        return
    files = tls.server_certificate and tls.private_key
    sources = (tls.credential_name, tls.credential_names, files, tls.tls_certificates)
    if sum(map(bool, sources)) > 1 and found.era.release >= (1, 27):
        text = (
            "only one of credential_name, credential_names, server_certificate/private_key, "
            "tls_certificates should be specified"
        )
        found.error(path, text, "Keep one of them.")
    if tls.credential_name or tls.credential_names:
        return
    said = "SIMPLE" if mode == "SIMPLE" else "MUTUAL"
    if len(tls.tls_certificates or ()) > 2:
        text = f"{said} TLS can support up to 2 server certificates"
        found.warning((*path, "tlsCertificates"), text)
    _check_files(tls, said, path, found)
    if said == "MUTUAL" and not tls.ca_certificates:
        hint = "Give files, or a Secret by `credentialName:`."
        found.error(path, "MUTUAL TLS requires a client CA bundle", hint)
    if tls.ca_crl and mode == "SIMPLE":
        found.error((*path, "caCrl"), "CRL is not supported with SIMPLE TLS")


def _check_files(tls: ServerTLSSettings, said: str, path: Steps, found: Findings) -> None:
    """Check that every certificate has its key, and every key its certificate."""
    pairs = [(path, tls.server_certificate, tls.private_key)]
    if tls.tls_certificates:
        pairs = [
            ((*path, "tlsCertificates", index), each.server_certificate, each.private_key)
            for index, each in enumerate(tls.tls_certificates)
        ]
    hint = "Give files, or a Secret by `credentialName:`."
    for here, certificate, key in pairs:
        if not certificate:
            found.error(here, f"{said} TLS requires a server certificate", hint)
        if not key:
            found.error(here, f"{said} TLS requires a private key", hint)


def _check_versions(tls: ServerTLSSettings, path: Steps, found: Findings) -> None:
    """Check the lowest version of TLS and the cipher suites."""
    if tls.min_protocol_version in ("TLSV1_0", "TLSV1_1") and not tls.cipher_suites:
        text = (
            "TLS version below TLSV1_2 require setting compatible ciphers as by default they no "
            "longer include compatible ciphers."
        )
        found.warning((*path, "minProtocolVersion"), text)
    suites = Counter(tls.cipher_suites or ())
    unknown = sorted(each for each in suites if not _is_suite(each))
    twice = sorted(each for each, times in suites.items() if times > 1 and _is_suite(each))
    for what, each in (("invalid", unknown), ("duplicate", twice)):
        if each and (what == "invalid" or found.era.release >= (1, 15)):
            text = f"ignoring {what} cipher suites: [{' '.join(each)}]"
            found.warning((*path, "cipherSuites"), text)


def _is_suite(name: str) -> bool:
    """True for a suite that Envoy knows; what starts with a sign is an expression about several."""
    return name in ("", "ALL") or not name[0].isalnum() or name in _SUITES
