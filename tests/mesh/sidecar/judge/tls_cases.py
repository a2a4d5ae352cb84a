"""Transport sockets in Envoy's JSON, for both engines."""

from __future__ import annotations

from typing import Any

from tests.mesh.sidecar.pki import DAY, Pair, authority, issue, workload

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
SPIFFE = "spiffe://cluster.local/ns/tutorial/sa/"


def uri(account: str) -> list[dict[str, Any]]:
    return [{"sanType": "URI", "matcher": {"exact": SPIFFE + account}}]


def _common(
    pair: Pair | None, root: Pair | None, sans: list[dict[str, Any]] | None, more: dict[str, Any]
) -> dict[str, Any]:
    made: dict[str, Any] = dict(more)
    if pair is not None:
        made["tlsCertificates"] = [
            {
                "certificateChain": {"inlineString": pair.cert_pem},
                "privateKey": {"inlineString": pair.key_pem},
            }
        ]
    if root is not None:
        made["validationContext"] = {"trustedCa": {"inlineString": root.cert_pem}}
        if sans:
            made["validationContext"]["matchTypedSubjectAltNames"] = sans
    return made


def downstream(
    pair: Pair | None,
    root: Pair | None = None,
    sans: list[dict[str, Any]] | None = None,
    require: bool = False,
    **more: Any,
) -> dict[str, Any]:
    context = {
        "@type": TLS + "DownstreamTlsContext",
        "commonTlsContext": _common(pair, root, sans, more),
        "requireClientCertificate": require,
    }
    return {"name": "envoy.transport_sockets.tls", "typedConfig": context}


def upstream(
    pair: Pair | None = None,
    root: Pair | None = None,
    sans: list[dict[str, Any]] | None = None,
    sni: str = "",
    **more: Any,
) -> dict[str, Any]:
    context = {
        "@type": TLS + "UpstreamTlsContext",
        "commonTlsContext": _common(pair, root, sans, more),
        "sni": sni,
    }
    return {"name": "envoy.transport_sockets.tls", "typedConfig": context}


Case = tuple[dict[str, Any] | None, dict[str, Any] | None]
"""(the server's transport socket, the client's); None is plaintext."""

TLS13 = {"tlsParams": {"tlsMaximumProtocolVersion": "TLSv1_3"}}


def cases() -> dict[str, Case]:
    root, other = authority(), authority("other")
    server, client = workload("server"), workload("client")
    old = issue("", [SPIFFE + "client"], root, begins=-2 * DAY, ends=-DAY)
    old_server = issue("", [SPIFFE + "server"], root, begins=-2 * DAY, ends=-DAY)
    itself = issue("x", [SPIFFE + "client"])
    strict = downstream(server, root, require=True)
    return {
        "mutual": (strict, upstream(client, root, uri("server"), "name.test")),
        "mutual-1.3": (strict, upstream(client, root, uri("server"), **TLS13)),
        "simple": (downstream(server), upstream(None, root)),
        "unverified": (downstream(server), upstream()),
        "optional": (downstream(server, root), upstream(None, root)),
        "server-of-wrong-name": (strict, upstream(client, root, uri("nobody"))),
        "server-of-other-root": (strict, upstream(client, other)),
        "server-expired": (downstream(old_server), upstream(client, root)),
        "no-client-certificate": (strict, upstream(None, root)),
        "no-client-certificate-1.3": (strict, upstream(None, root, **TLS13)),
        "client-of-other-root": (strict, upstream(workload("client", "other"), root)),
        "client-of-wrong-name-1.3": (
            downstream(server, root, uri("friend"), require=True),
            upstream(client, root, **TLS13),
        ),
        "client-expired": (strict, upstream(old, root)),
        "client-signed-itself": (strict, upstream(itself, root)),
        "plaintext-to-strict": (strict, None),
        "tls-to-plaintext": (None, upstream(client, root)),
        "version-too-old": (
            downstream(server, tlsParams={"tlsMinimumProtocolVersion": "TLSv1_3"}),
            upstream(client, root),
        ),
    }
