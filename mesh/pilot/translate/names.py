"""Names: Istio's short host names, the domains of a virtual host, and cluster names.

``host: recommendation`` in a resource of namespace ``tutorial`` means
``recommendation.tutorial.svc.cluster.local``.  A cluster is ``outbound|PORT|SUBSET|HOST``, so one
name in ``meshctl proxy-config cluster POD`` tells everything.
Source: istio/istio ``pkg/config/model`` (ResolveShortnameToFQDN, BuildSubsetKey).
"""

from __future__ import annotations

from collections.abc import Iterable

from mesh.topology import DOMAIN_SUFFIX


def resolve(host: str, namespace: str) -> str:
    """Return the fully qualified name: a name without a dot is a service of ``namespace``."""
    if "." in host or host.startswith("*") or not namespace:
        return host.lower()
    return f"{host}.{namespace}.svc.{DOMAIN_SUFFIX}".lower()


def outbound(port: int, subset: str, hostname: str) -> str:
    """Return the name of a client side cluster."""
    return f"outbound|{port}|{subset}|{hostname}"


def inbound(port: int) -> str:
    """Return the name of the cluster that is the application itself."""
    return f"inbound|{port}||"


def parse(cluster: str) -> tuple[str, int, str, str]:
    """Return (direction, port, subset, host name); empty parts for another kind of name."""
    parts = cluster.split("|")
    if len(parts) != 4 or not parts[1].isdigit():
        return "", 0, "", cluster
    return parts[0], int(parts[1]), parts[2], parts[3]


def aliases(hostname: str, namespace: str) -> list[str]:
    """Return every name by which a proxy of ``namespace`` may call a service, longest first."""
    suffix = f".svc.{DOMAIN_SUFFIX}"
    if not hostname.endswith(suffix):
        return [hostname]
    name, _, own = hostname.removesuffix(suffix).partition(".")
    names = [hostname, f"{name}.{own}.svc", f"{name}.{own}"]
    return [*names, name] if own == namespace else names


def domains(
    hostname: str, namespace: str, port: int, portless: bool, addresses: Iterable[str] = ()
) -> list[str]:
    """Return the domains of the virtual host ``hostname:port``; ``portless`` adds bare names."""
    names = [*aliases(hostname, namespace), *addresses]
    return [
        each
        for name in names
        for each in ((name, f"{name}:{port}") if portless else (f"{name}:{port}",))
    ]


def covers(pattern: str, host: str) -> bool:
    """True when ``pattern`` (a name, ``*`` or ``*.suffix``) covers ``host``."""
    if pattern == "*" or pattern == host:
        return True
    return pattern.startswith("*") and host.endswith(pattern[1:])


def most_specific(patterns: Iterable[str], host: str) -> str | None:
    """Return the pattern that fits best: the name itself, else the longest suffix."""
    fitting = [pattern for pattern in patterns if covers(pattern, host)]
    return max(fitting, key=lambda each: (each == host, len(each)), default=None)
