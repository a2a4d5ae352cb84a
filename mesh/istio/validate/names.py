"""Names, ports, labels, headers and regular expressions: the rules that all kinds share.

Each function returns Istio's text about a value, empty when the value is right.
Source of the rules: istio/istio ``pkg/config/validation/agent/validation.go`` and
``pkg/config/labels/instance.go``; regular expressions are compiled by RE2, as in Envoy.
"""

from __future__ import annotations

import ipaddress
import re

import re2

_LABEL = r"[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"
_IS_LABEL = re.compile(_LABEL + r"\Z")
_IS_WILDCARD = re.compile(rf"(?:\*|(?:\*|\*-)?{_LABEL})\Z")
_TAG = r"[a-zA-Z0-9](?:[-a-zA-Z0-9_.]{0,61}[a-zA-Z0-9])?"
_IS_TAG_KEY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*/)?{_TAG}\Z")
_IS_TAG_VALUE = re.compile(rf"(?:{_TAG})?\Z")
_HEADER = re.compile(r"[-_A-Za-z0-9]+\Z")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*\Z")
_PERCENT_WORD = re.compile(r"%%|%[A-Z0-9_]+(?:\([^()]{0,200}\))?(?::[0-9]{1,9})?%")
MAX_REGEX = 1024
MAX_PROGRAM = 2**21  # bytes; bounds the time that hostile patterns cost

PROTOCOLS = frozenset(
    [
        "TCP",
        "UDP",
        "GRPC",
        "GRPC-WEB",
        "GRPC-WEB",
        "HTTP",
        "HTTP_PROXY",
        "HTTP2",
        "HTTPS",
        "TLS",
        "MONGO",
        "REDIS",
        "MYSQL",
        "HBONE",
        "DOUBLE-HBONE",
    ]
)


def is_label(text: str) -> bool:
    """True for a DNS label (RFC 1123; Istio lets capitals pass)."""
    return bool(_IS_LABEL.match(text))


def is_ip(text: str) -> bool:
    """True for an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _labels_error(domain: str, first: bool) -> str:
    """Check the labels of a domain; ``first`` lets a wildcard stand first."""
    if not domain:
        return "empty domain name not allowed"
    if len(domain) > 255:
        return f'domain name "{domain[:60]}..." too long (max 255)'
    parts = domain.split(".")
    top = parts[-1] or (parts[-2] if len(parts) > 1 else "")
    if top.isdecimal():
        return f'domain name "{domain}" invalid (top level domain "{top}" cannot be all-numeric)'
    for index, part in enumerate(parts):
        if part == "" and index == len(parts) - 1 and index:
            continue
        fits = _IS_WILDCARD.match(part) if first and index == 0 else _IS_LABEL.match(part)
        if not fits:
            return f'domain name "{domain}" invalid (label "{part}" invalid)'
    return ""


def fqdn_error(domain: str) -> str:
    """Check a domain name without a wildcard."""
    return _labels_error(domain, first=False)


def domain_error(domain: str) -> str:
    """Check a domain name whose first label may be or start with ``*``."""
    return _labels_error(domain, first=True)


def cluster_sni_error(domain: str) -> str:
    """Check the server name of a cluster, ``outbound_.80_._.shop.example``."""
    if len(domain) > 255:
        return f'domain name "{domain[:60]}..." too long (max 255)'
    parts = domain.split("_")
    form = "outbound_.<PORT>_._.<HOSTNAME>"
    if len(parts) < 4:
        return f"domain name {domain} invalid, should follow '{form}' format"
    for part, sign in ((parts[1].strip("."), r"[0-9]"), (parts[3].strip("."), r"[a-zA-Z]")):
        if not re.search(sign, part):
            return (
                f'domain name "{domain}" invalid (label "{part}" invalid). should follow {form} '
                "format"
            )
    return ""


def host_part_error(host: str, gateway: bool) -> str:
    """Check ``dnsName`` of ``namespace/dnsName`` in a Gateway or Sidecar."""
    if host != "*" and "." not in host and not is_ip(host):
        return "short names (non FQDN) are not allowed"
    if gateway and is_ip(host):
        return ""
    if "*" in host and host != "*" and not host.startswith("*."):
        return f'partial wildcard "{host}" not allowed'
    return domain_error(host)


def namespaced_host_error(host: str, gateway: bool) -> str:
    """Check ``namespace/dnsName``; a Gateway may leave the namespace out."""
    namespace, slash, name = host.partition("/")
    if not slash:
        if gateway:
            return host_part_error(host, gateway)
        return "host must be of form namespace/dnsName"
    if not namespace or not name:
        return "config namespace and dnsName in host entry cannot be empty"
    allowed = ("*", ".") if gateway else ("*", ".", "~")
    if namespace not in allowed and not is_label(namespace):
        return f'invalid namespace value "{namespace}" in {"gateway" if gateway else "sidecar"}'
    return host_part_error(name, gateway)


def hosts_overlap(one: str, other: str) -> bool:
    """True when two host names match each other, wildcards included."""
    if one.startswith("*") and other.startswith("*"):
        short, long = sorted((one[1:], other[1:]), key=len)
        return long.endswith(short)
    if one.startswith("*"):
        return other.endswith(one[1:])
    if other.startswith("*"):
        return one.endswith(other[1:])
    return one == other


def host_within(one: str, other: str) -> bool:
    """True when every host that ``one`` matches is matched by ``other``."""
    if other.startswith("*"):
        return one.removeprefix("*").endswith(other[1:])
    return one == other


def port_error(number: int) -> str:
    """Check a port number."""
    return "" if 1 <= number <= 65535 else f"port number {number} must be in the range 1..65535"


def port_name_error(name: str) -> str:
    """Check the name of a port."""
    return "" if is_label(name) else f"invalid port name: {name}"


def protocol_error(protocol: str | None) -> str:
    """Check a protocol; empty means that Istio finds out by itself."""
    return (
        "" if not protocol or protocol.upper() in PROTOCOLS else f"unsupported protocol: {protocol}"
    )


def is_http(protocol: str | None) -> bool:
    """True for protocols whose requests a sidecar can see."""
    return (protocol or "").upper() in ("HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY")


def is_tcp(protocol: str | None) -> bool:
    """True for protocols whose bytes a sidecar passes on as they are."""
    return (protocol or "").upper() in ("TCP", "HTTPS", "TLS", "MONGO", "REDIS", "MYSQL")


def is_tls(protocol: str | None) -> bool:
    """True for HTTPS and TLS."""
    return (protocol or "").upper() in ("HTTPS", "TLS")


def subset_error(name: str) -> str:
    """Check the name of a subset."""
    if not name:
        return "subset name cannot be empty"
    return "" if is_label(name) else f"subset name is invalid: {name}"


def label_error(key: str, value: str) -> str:
    """Check a label of a pod."""
    if not _IS_TAG_KEY.match(key):
        return f'invalid tag key: "{key}"'
    return "" if _IS_TAG_VALUE.match(value) else f'invalid tag value: "{value}"'


def subnet_error(text: str) -> str:
    """Check an address or a CIDR range."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        kind = "CIDR" if "/" in text else "IP"
        return f"{text} is not a valid {kind} {'notation' if kind == 'CIDR' else 'address'}"
    return ""


def unix_error(text: str) -> str:
    """Check the path of a Unix domain socket, without ``unix://``."""
    if not text:
        return "unix address must not be empty"
    if text.startswith("@") or (text.startswith("/") and not text.endswith("/")):
        return ""
    return f"{text} is not an absolute path to a file"


def header_error(name: str, claims: bool = False, star: bool = False) -> str:
    """Check a header's name; ``claims`` allows ``@request.auth.claims``, ``star`` CORS' ``*``."""
    if not name:
        return "header name cannot be empty"
    if (claims and name.startswith("@request.auth.claims")) or (star and name == "*"):
        return ""
    return "" if _HEADER.match(name) else f"header name {name} is not a valid header name"


def header_operation_error(name: str, authority: bool) -> str:
    """Check a header that is changed; the request may change ``:authority`` and ``host``."""
    if not name:
        return "header name cannot be empty"
    lower = name.lower()
    if authority and lower in (":authority", "host"):
        return ""
    if lower == "host":
        return f'invalid header "{name}": cannot set Host header'
    return f'invalid header "{name}": header cannot have ":" prefix' if name[0] == ":" else ""


def header_value_error(value: str) -> str:
    """Check a header's value: no control characters, and ``%`` only in pairs (``%HOSTNAME%``)."""
    if not _HEADER_VALUE.match(value):
        return f"header value configuration {value!r} is invalid"
    if "%" in _PERCENT_WORD.sub("", value):
        return f"header value configuration: {value} has a single %, write %% for the sign itself"
    return ""


def regex_error(pattern: str, where: str) -> str:
    """Check a regular expression with RE2; ``where`` is the field."""
    if not pattern:
        return f'"{where}": regex string match should not be empty'
    if len(pattern) > MAX_REGEX:
        return f'"{where}": regex is too large, max length allowed is {MAX_REGEX}'
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PROGRAM
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        return (
            f'"{where}": error parsing regexp: {reason}; Istio uses RE2 style regex-based match '
            "(https://github.com/google/re2/wiki/Syntax)"
        )
    return ""
