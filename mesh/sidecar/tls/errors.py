"""TlsError: a failed handshake in Envoy's words.

A student meets them in the access log (``upstream_transport_failure_reason``) and in the body of
a 503: ``TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end``.
The number is BoringSSL's: library 16 in the top byte, the reason below; alerts of the peer are
1000 plus the alert's number.

Source: Envoy ``source/common/tls/ssl_socket.cc`` (drainErrorQueue); BoringSSL ``ssl.h`` (SSL_R_*).
"""

from __future__ import annotations

from OpenSSL import SSL

_LIBRARY = 16 << 24
_REASONS: dict[str, tuple[int, str]] = {
    "certificate verify failed": (125, "CERTIFICATE_VERIFY_FAILED"),
    "peer did not return a certificate": (192, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    "wrong version number": (247, "WRONG_VERSION_NUMBER"),
    "unsupported protocol": (240, "UNSUPPORTED_PROTOCOL"),
    "no shared cipher": (184, "NO_SHARED_CIPHER"),
    "http request": (155, "HTTP_REQUEST"),
    "https proxy request": (156, "HTTPS_PROXY_REQUEST"),
    "packet length too long": (137, "ENCRYPTED_LENGTH_TOO_LONG"),
    "unexpected message": (223, "UNEXPECTED_MESSAGE"),
    "decryption failed or bad record mac": (139, "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
}
_ALERTS: dict[str, tuple[int, str]] = {
    "unexpected message": (1010, "SSLV3_ALERT_UNEXPECTED_MESSAGE"),
    "bad record mac": (1020, "SSLV3_ALERT_BAD_RECORD_MAC"),
    "handshake failure": (1040, "SSLV3_ALERT_HANDSHAKE_FAILURE"),
    "bad certificate": (1042, "SSLV3_ALERT_BAD_CERTIFICATE"),
    "unsupported certificate": (1043, "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
    "certificate revoked": (1044, "SSLV3_ALERT_CERTIFICATE_REVOKED"),
    "certificate expired": (1045, "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
    "certificate unknown": (1046, "SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
    "illegal parameter": (1047, "SSLV3_ALERT_ILLEGAL_PARAMETER"),
    "unknown ca": (1048, "TLSV1_ALERT_UNKNOWN_CA"),
    "access denied": (1049, "TLSV1_ALERT_ACCESS_DENIED"),
    "decode error": (1050, "TLSV1_ALERT_DECODE_ERROR"),
    "decrypt error": (1051, "TLSV1_ALERT_DECRYPT_ERROR"),
    "protocol version": (1070, "TLSV1_ALERT_PROTOCOL_VERSION"),
    "insufficient security": (1071, "TLSV1_ALERT_INSUFFICIENT_SECURITY"),
    "internal error": (1080, "TLSV1_ALERT_INTERNAL_ERROR"),
    "unrecognized name": (1112, "TLSV1_ALERT_UNRECOGNIZED_NAME"),
    "certificate required": (1116, "TLSV1_ALERT_CERTIFICATE_REQUIRED"),
    "no application protocol": (1120, "TLSV1_ALERT_NO_APPLICATION_PROTOCOL"),
}
"""OpenSSL's words for a reason, and behind ``alert`` for an alert of the peer."""
_VERIFY = {
    2: "unable to get issuer certificate",
    7: "certificate signature failure",
    9: "certificate is not yet valid",
    10: "certificate has expired",
    18: "self signed certificate",
    19: "self signed certificate in certificate chain",
    20: "unable to get local issuer certificate",
    21: "unable to verify the first certificate",
    22: "certificate chain too long",
    23: "certificate revoked",
    24: "invalid CA certificate",
    25: "path length constraint exceeded",
    26: "unsupported certificate purpose",
    27: "certificate not trusted",
    28: "certificate rejected",
}


def verify_error(code: int) -> str:
    """Return BoringSSL's words for an error of X509_verify_cert."""
    return _VERIFY.get(code, f"error {code}")


class TlsError(Exception):
    """A TLS failure; the text is Envoy's transport failure reason, ``counter`` its statistic."""

    def __init__(self, text: str, counter: str = "connection_error") -> None:
        super().__init__(text)
        self.counter = counter


def describe(error: SSL.Error, told: dict[str, str]) -> TlsError:
    """Translate OpenSSL's error; ``told`` is what the verifier left behind."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    reason: str = queue[0][2] if queue else "peer closed"
    before, alert, kind = reason.partition("alert ")
    known = _ALERTS.get(kind) if alert else _REASONS.get(reason) or _ALERTS.get(before[6:])
    number, name = known or (0, reason.upper().replace(" ", "_"))
    text = f"TLS_error:|{_LIBRARY + number}:SSL_routines:OPENSSL_internal:{name}"
    counter = told.get("counter", "connection_error")
    if name == "CERTIFICATE_VERIFY_FAILED" and "reason" in told:
        text += f":verify cert failed: {told['reason']}"
    elif name == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        counter = "fail_verify_no_cert"
    return TlsError(text.replace(" ", "_") + ":TLS_error_end", counter)
