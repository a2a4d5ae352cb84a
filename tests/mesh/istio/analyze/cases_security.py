"""Cases of the analyzers that look at TLS, identities and policies."""

from __future__ import annotations

from tests.mesh.istio.analyze.written import PROVIDERS, STRICT, Case, authz, dr, vs

SECURITY = {
    "TLS to anybody": Case(
        "IST0128",
        dr("trafficPolicy:\n  tls: {mode: SIMPLE}"),
        7,
        "TLS mode set to SIMPLE",
        dr("trafficPolicy:\n  tls: {mode: ISTIO_MUTUAL}"),
    ),
    "TLS to anybody at a port": Case(
        "IST0129",
        dr(
            "trafficPolicy:\n  portLevelSettings:\n  - port: {number: 443}\n    tls: {mode: SIMPLE}"
        ),
        9,
        "port number:443",
        dr(
            "trafficPolicy:\n  portLevelSettings:\n  - port: {number: 443}\n"
            "    tls: {mode: SIMPLE, caCertificates: /ca.pem}"
        ),
    ),
    "double slash": Case(
        "KIT0107",
        vs(
            "- match:\n  - uri:\n      prefix: /customer\n  rewrite: {uri: /}\n"
            "  route: [{destination: {host: customer}}]",
            "customer",
        ),
        9,
        "//x",
        vs(
            "- match:\n  - uri: {prefix: /customer/}\n  - uri: {prefix: /customer}\n"
            "  rewrite: {uri: /}\n  route: [{destination: {host: customer}}]",
            "customer",
        ),
    ),
    "regex of a part": Case(
        "KIT0108",
        vs(
            "- match:\n  - headers:\n      baggage-user-agent:\n        regex: Safari|Firefox\n"
            "  route: [{destination: {host: recommendation}}]"
        ),
        10,
        "whole value",
        vs(
            "- match:\n  - headers:\n      baggage-user-agent:\n        regex: .*Safari.*\n"
            "      user-preference: {regex: '12'}\n"
            "  route: [{destination: {host: recommendation}}]"
        ),
    ),
    "PERMISSIVE": Case(
        "KIT0111",
        authz("mtls:\n  mode: PERMISSIVE", "PeerAuthentication"),
        6,
        "plain text",
        authz("mtls:\n  mode: STRICT", "PeerAuthentication")
        + "---\n"
        + authz(
            "selector: {matchLabels: {app: customer}}\nmtls: {mode: PERMISSIVE}",
            "PeerAuthentication",
        ).replace("name: p", "name: customer"),
    ),
    "PERMISSIVE, until a later object of this name": Case(
        "KIT0111",
        authz("mtls:\n  mode: STRICT", "PeerAuthentication")
        + "---\n"
        + authz("mtls:\n  mode: PERMISSIVE", "PeerAuthentication"),
        13,
        "plain text",
        authz("mtls:\n  mode: PERMISSIVE", "PeerAuthentication")
        + "---\n"
        + authz("mtls:\n  mode: STRICT", "PeerAuthentication"),
    ),
    "a principal that is nobody's": Case(
        "KIT0118",
        authz(
            "rules:\n- from:\n  - source:\n      principals: [cluster.local/ns/tutorial/sa/costumer]"
        ),
        8,
        "no workload has the identity",
        authz(
            "rules:\n- from:\n  - source:\n      principals:\n"
            "      - cluster.local/ns/tutorial/sa/customer\n"
            "      - cluster.local/ns/istio-system/sa/istio-ingressgateway\n"
            "      - '*/sa/preference'\n      - cluster.local/ns/tut*\n      - '*'"
        ),
    ),
    "principals without mTLS": Case(
        "KIT0112",
        authz(
            "rules:\n- from:\n  - source:\n      principals: [cluster.local/ns/tutorial/sa/customer]"
        )
        + "---\n"
        + authz("mtls: {mode: DISABLE}", "PeerAuthentication"),
        8,
        "never holds",
        authz(
            "rules:\n- from:\n  - source:\n      principals: [cluster.local/ns/tutorial/sa/customer]"
        ),
    ),
    "DENY by principal in PERMISSIVE": Case(
        "KIT0112",
        authz("action: DENY\nrules:\n- from:\n  - source:\n      principals: ['*/sa/evil']"),
        9,
        "does not stop it",
        authz("action: DENY\nrules:\n- from:\n  - source:\n      principals: ['*/sa/evil']")
        + STRICT,
    ),
    "DENY of an exact path": Case(
        "KIT0113",
        authz("action: DENY\nrules:\n- to:\n  - operation:\n      paths: [/admin]"),
        9,
        "/ADMIN",
        authz("action: DENY\nrules:\n- to:\n  - operation:\n      paths: ['/admin*']")
        + "---\n"
        + authz("action: ALLOW\nrules:\n- to:\n  - operation:\n      paths: [/]"),
    ),
    "CUSTOM of a provider that nobody knows": Case(
        "KIT0117",
        authz("action: CUSTOM\nprovider: {name: sampel}\nrules: [{}]") + "---\n" + PROVIDERS,
        6,
        'available providers are [sample] but found "sampel"',
        authz("action: CUSTOM\nprovider: {name: sample}\nrules: [{}]") + "---\n" + PROVIDERS,
    ),
    "CUSTOM of a provider that does not run": Case(
        "KIT0117",
        authz("action: CUSTOM\nprovider: {name: sample}\nrules: [{}]")
        + "---\n"
        + PROVIDERS.replace("shop.", "opa."),
        6,
        "could not find service opa.tutorial",
        authz("action: ALLOW\nrules: [{}]") + "---\n" + PROVIDERS,
    ),
}
