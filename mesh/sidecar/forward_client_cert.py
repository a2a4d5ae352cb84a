"""forward_client_cert_details: the header x-forwarded-client-cert (XFCC).

After mTLS the application sees a plain request; this header tells it who called:
``By=<server's SPIFFE id>;Hash=<SHA-256>;Subject="";URI=<client's SPIFFE id>``.  Istio's sidecars
append it at the inbound listener, gateways set it anew (``SANITIZE_SET``); a caller without a
certificate cannot forge it, because there it is taken out.
See it in what the application received, ``meshctl curl`` to a service that echoes its headers.

Source: Envoy ``source/common/http/conn_manager_utility.cc`` (mutateXfccRequestHeader).
"""

from __future__ import annotations

from dataclasses import dataclass

from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerForwardClientCertDetails,
)

from mesh.sidecar.stream_info import ConnectionInfo

HEADER = b"x-forwarded-client-cert"
Fields = list[tuple[bytes, bytes]]
_Mode = HttpConnectionManagerForwardClientCertDetails


@dataclass(frozen=True, slots=True)
class ForwardClientCert:
    """The rule of one HTTP connection manager; ``details`` in the order of the header."""

    mode: HttpConnectionManagerForwardClientCertDetails
    details: tuple[str, ...]

    def apply(self, fields: Fields, connection: ConnectionInfo) -> Fields:
        """Return ``fields`` with the header as it has to be for this connection."""
        if self.mode is _Mode.ALWAYS_FORWARD_ONLY:
            return fields
        if self.mode is _Mode.SANITIZE or connection.peer is None:
            return [item for item in fields if item[0] != HEADER]
        if self.mode is _Mode.FORWARD_ONLY:
            return fields
        if connection.xfcc is None:
            connection.xfcc = self.element(connection).encode()
        values = [connection.xfcc] if connection.xfcc else []
        if self.mode is _Mode.APPEND_FORWARD:
            values = [value for name, value in fields if name == HEADER] + values
        kept = [item for item in fields if item[0] != HEADER]
        if values:
            kept.append((HEADER, b",".join(values)))
        return kept

    def element(self, connection: ConnectionInfo) -> str:
        """Write what this connection adds to the header."""
        tls, peer = connection.tls, connection.peer
        assert tls is not None
        assert peer is not None
        parts = []
        if tls.own is not None and tls.own.uri_sans:
            parts.append(f"By={','.join(tls.own.uri_sans)}")
        if peer.sha256:
            parts.append(f"Hash={peer.sha256}")
        for detail in self.details:
            if detail == "cert":
                parts.append(f'Cert="{peer.pem}"')
            elif detail == "chain":
                parts.append(f'Chain="{peer.pem}"')
            elif detail == "subject":
                parts.append(f'Subject="{peer.subject}"')
            elif detail == "uri":
                parts += [f"URI={name}" for name in peer.uri_sans] or ["URI="]
            else:
                parts += [f"DNS={name}" for name in peer.dns_sans]
        return ";".join(parts)


def compile_rule(config: HttpConnectionManager) -> ForwardClientCert:
    """Read the rule of an HTTP connection manager."""
    wanted = config.set_current_client_cert_details
    names = ("cert", "chain", "subject", "uri", "dns")
    details = [name for name in names if wanted is not None and getattr(wanted, name)]
    return ForwardClientCert(config.forward_client_cert_details, tuple(details))
