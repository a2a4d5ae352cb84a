"""Rules: how the connections of a pod come to its sidecar, and where they may not go.

In a real mesh the init container ``istio-init`` writes them with iptables.  Here they are one
table of nftables for each pod, beside Docker's own rules: all TCP that the application sends goes
to the sidecar's outbound listener, its look-ups of names go to the sidecar's DNS, what arrives for
a port of its Service goes to the inbound listener of that port, and nothing goes anywhere but to pods of the same mesh.  The sidecar's own
user is exempt, or it would call itself.
Source: istio/istio ``tools/istio-iptables/pkg/capture/run.go``.
Shown by ``docker exec --privileged -u 0 POD-CONTAINER nft list table ip mesh``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mesh.agent.dns import NOWHERE_PORT, PORT

SIDECAR_UID = 1337
"""The user of every sidecar, as in Istio."""
APP_UID = 1000


def capture(
    inbound: Mapping[int, int], outbound: int, subnet: str, gateway: str, open_ports: Iterable[int]
) -> str:
    """Return the rules of a pod with a sidecar, for ``nft -f``.

    ``inbound``: port of the Service -> port of the sidecar.  ``subnet`` is the mesh's network,
    ``gateway`` the address of this machine in it.  ``open_ports`` of the sidecar take connections
    from outside of the pod.
    """
    ports = ", ".join(f"{port} : {listen}" for port, listen in sorted(inbound.items()))
    arrive = f"redirect to :tcp dport map {{ {ports} }}" if inbound else ""
    service = ", ".join(str(port) for port in sorted(inbound))
    lines = [
        "table ip mesh",
        "delete table ip mesh",
        "table ip mesh {",
        "  chain arriving {",
        "    type nat hook prerouting priority dstnat - 10; policy accept;",
        f"    tcp dport {{ {service} }} {arrive}" if inbound else "",
        "  }",
        "  chain leaving {",
        "    type nat hook output priority -110; policy accept;",
        # The sidecar that calls its own pod is a caller like any other.
        f'    meta skuid {SIDECAR_UID} oifname "lo" ip daddr != 127.0.0.0/8 '
        f"tcp dport {{ {service} }} {arrive}"
        if inbound
        else "",
        f"    meta skuid {SIDECAR_UID} return",
        *(_names() if outbound else []),
        '    oifname "lo" return',
        "    ip daddr 127.0.0.0/8 return",
        f"    meta l4proto tcp redirect to :{outbound}" if outbound else "",
        "  }",
        *_fence([*inbound.values(), *open_ports], subnet, gateway),
        "}",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _names() -> list[str]:
    """Return the rules for look-ups: the application's go to the sidecar's DNS.

    Docker's resolver works in the pod's network as root; what it does not know exists nowhere.
    """
    return [
        f"    meta skuid 0 meta l4proto {{ tcp, udp }} th dport 53 redirect to :{NOWHERE_PORT}",
        f"    meta l4proto {{ tcp, udp }} th dport 53 redirect to :{PORT}",
    ]


def _fence(listening: Iterable[int], subnet: str, gateway: str) -> list[str]:
    """Return the chains that hold the pod's traffic inside of the mesh."""
    ports = ", ".join(str(port) for port in sorted(set(listening)))
    return [
        "  chain entering {",
        "    type filter hook input priority 0; policy drop;",
        "    ct state established,related accept",
        '    iifname "lo" accept',
        f"    tcp dport {{ {ports} }} accept" if ports else "",
        "    meta l4proto tcp reject with tcp reset",
        "  }",
        "  chain going {",
        "    type filter hook output priority 0; policy drop;",
        "    ct state established,related accept",
        "    ip daddr 127.0.0.0/8 accept",
        '    oifname "lo" accept',
        f"    ip daddr {gateway} reject",
        f"    ip daddr {subnet} meta l4proto tcp accept",
        "    reject",
        "  }",
    ]


def fence(open_ports: Iterable[int], subnet: str, gateway: str) -> str:
    """Return the rules of a pod without a sidecar: it is fenced all the same."""
    lines = [
        "table ip mesh",
        "delete table ip mesh",
        "table ip mesh {",
        *_fence(open_ports, subnet, gateway),
        "}",
    ]
    return "\n".join(line for line in lines if line) + "\n"
