"""Cases of the analyzers that look at routes, subsets, timeouts, pods and ports."""

from __future__ import annotations

from tests.mesh.istio.analyze.written import CANARY, OUT, ROUTE, SUBSETS, Case, authz, dr, vs

TRAFFIC = {
    "missing subset": Case(
        "IST0101",
        vs("- route:\n  - destination:\n      host: recommendation\n      subset: version-v3")
        + SUBSETS,
        10,
        "recommendation+version-v3",
        CANARY + SUBSETS,
    ),
    "subset without any rule": Case(
        "IST0101",
        vs("- route:\n  - destination: {host: recommendation, subset: v1}"),
        8,
        "recommendation+v1",
        vs(ROUTE),
    ),
    "missing host": Case(
        "IST0101",
        vs("- route: [{destination: {host: recomendation}}]"),
        7,
        '"recomendation"',
        vs("- route: [{destination: {host: recommendation.tutorial.svc.cluster.local}}]"),
    ),
    "missing mirror subset": Case(
        "IST0101",
        vs(ROUTE + "\n  mirror: {host: recommendation, subset: nope}") + SUBSETS,
        8,
        "mirror+subset",
        vs(ROUTE + "\n  mirror: {host: recommendation, subset: version-v2}") + SUBSETS,
    ),
    "missing gateway": Case(
        "IST0101",
        vs(ROUTE, more="  gateways: [gait]\n")
        + "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gate}\n"
        "spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n",
        6,
        "gateway",
        vs(ROUTE, more="  gateways: [gate, mesh]\n")
        + "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gate}\n"
        "spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n",
    ),
    "two for one host": Case(
        "IST0109",
        vs(ROUTE) + "---\n" + vs(ROUTE, "recommendation").replace("{name: rec", "{name: other-rec"),
        5,
        "tutorial/other-recommendation",
        vs(ROUTE) + "---\n" + vs(ROUTE, "preference"),
    ),
    "a rule after the catch-all": Case(
        "IST0130",
        vs(ROUTE + "\n" + ROUTE),
        8,
        "only the last rule can have no matches",
        vs(
            "- match: [{uri: {prefix: /x}}]\n  route: [{destination: {host: preference}}]\n" + ROUTE
        ),
    ),
    "a match after the catch-all": Case(
        "IST0130",
        vs(
            ROUTE + "\n- match: [{uri: {prefix: /x}}]\n  route: [{destination: {host: preference}}]"
        ),
        8,
        "route without matches defined before",
        vs(ROUTE),
    ),
    "the same match twice": Case(
        "IST0131",
        vs(
            "- match: [{uri: {prefix: /x}}]\n  route: [{destination: {host: preference}}]\n"
            "- match:\n  - uri: {prefix: /x}\n  - uri: {prefix: /y}\n"
            "  route: [{destination: {host: preference}}]"
        ),
        10,
        "duplicate/overlapping match in rule #0",
        vs(ROUTE),
    ),
    "several ports": Case(
        "IST0112",
        vs("- route: [{destination: {host: shop}}]"),
        7,
        "[8080 9090]",
        vs("- route: [{destination: {host: shop, port: {number: 9090}}}]"),
    ),
    "host not at the gateway": Case(
        "IST0132",
        vs(ROUTE, more="  gateways: [gate]\n")
        + "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gate}\n"
        "spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}]}\n",
        6,
        "recommendation",
        vs(ROUTE, more="  gateways: [gate]\n")
        + "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gate}\n"
        "spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n",
    ),
    "a subset without pods": Case(
        "IST0173",
        dr("subsets:\n- name: v9\n  labels: {version: v9}"),
        8,
        "does not select any pods",
        dr("subsets:\n- name: v2\n  labels: {version: v2}"),
    ),
    "a rule for nobody": Case(
        "IST0174", dr("subsets: []", "nobody"), 5, "The host nobody", dr("subsets: []", "'*.local'")
    ),
    "per try without a reset": Case(
        "KIT0101",
        vs(ROUTE + "\n  retries:\n    attempts: 3\n    perTryTimeout: 2s"),
        10,
        "not repeated",
        vs(
            ROUTE
            + "\n  retries:\n    attempts: 3\n    perTryTimeout: 2s\n    retryOn: gateway-error"
        ),
    ),
    "per try in 1.0 repeats 5xx": Case(
        "KIT0101",
        vs(
            ROUTE
            + "\n  retries:\n    attempts: 3\n    perTryTimeout: 2s\n    retryOn: connect-failure"
        ).replace("/v1\n", "/v1alpha3\n"),
        10,
        "connect-failure",
        vs(ROUTE + "\n  retries:\n    attempts: 3\n    perTryTimeout: 2s").replace(
            "/v1\n", "/v1alpha3\n"
        ),
        "istio-1.0",
    ),
    "per try not shorter": Case(
        "KIT0102",
        vs(ROUTE + "\n  timeout: 2s\n  retries: {attempts: 3, perTryTimeout: 2s, retryOn: 5xx}"),
        9,
        "2s",
        vs(ROUTE + "\n  timeout: 10s\n  retries: {attempts: 3, perTryTimeout: 2s, retryOn: 5xx}"),
    ),
    "fault and timeout": Case(
        "KIT0103",
        vs(
            "- fault: {delay: {fixedDelay: 7s, percentage: {value: 100}}}\n  timeout: 1s\n"
            "  route: [{destination: {host: recommendation}}]"
        ),
        8,
        "timeout does not see the fault",
        vs(ROUTE + "\n  timeout: 1s"),
    ),
    "fault without percentage": Case(
        "KIT0104",
        vs(ROUTE + "\n  fault: {abort: {httpStatus: 503}}"),
        8,
        "never happens",
        vs(ROUTE + "\n  fault: {abort: {httpStatus: 503, percentage: {value: 10}}}"),
    ),
    "ejection of two pods": Case(
        "KIT0105",
        dr(OUT + "    maxEjectionPercent: 30"),
        9,
        "2 pods",
        dr(OUT + "    maxEjectionPercent: 50"),
    ),
    "ejection by default": Case(
        "KIT0105", dr(OUT), 7, "(the default)", dr(OUT + "    maxEjectionPercent: 100")
    ),
    "consecutiveErrors": Case(
        "KIT0106",
        dr("trafficPolicy:\n  outlierDetection:\n    consecutiveErrors: 1"),
        8,
        "ignores",
        dr(OUT),
    ),
    "a header that gets lost": Case(
        "KIT0109",
        vs(
            "- match:\n  - headers:\n      baggage-user-preference: {prefix: '12'}\n"
            "  route: [{destination: {host: recommendation}}]"
        ),
        9,
        "baggage-user-preference",
        vs(
            "- match:\n  - headers:\n      user-preference: {prefix: '12'}\n"
            "  route: [{destination: {host: recommendation}}]"
        ),
    ),
    "a policy that no route selects": Case(
        "KIT0110",
        dr(
            "subsets:\n- name: v2\n  labels: {version: v2}\n  trafficPolicy:\n"
            "    connectionPool: {tcp: {maxConnections: 1}}"
        ),
        9,
        "v2",
        dr(
            "subsets:\n- name: v2\n  labels: {version: v2}\n  trafficPolicy:\n"
            "    connectionPool: {tcp: {maxConnections: 1}}"
        )
        + "---\n"
        + vs("- route: [{destination: {host: recommendation, subset: v2}}]"),
    ),
    "a selector without pods": Case(
        "IST0127",
        authz("selector:\n  matchLabels: {app: costumer}\nrules: [{}]"),
        6,
        "app=costumer",
        authz("selector:\n  matchLabels: {app: customer}\nrules: [{}]"),
    ),
    "two Sidecars": Case(
        "IST0111",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\nspec:\n"
        "  egress: [{hosts: ['./*']}]\n---\n"
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: b}\nspec:\n"
        "  egress: [{hosts: ['./*']}]\n",
        4,
        "tutorial/a tutorial/b",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\nspec:\n"
        "  egress: [{hosts: ['./*']}]\n",
    ),
    "two Sidecars for the same pods": Case(
        "IST0110",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\nspec:\n"
        "  workloadSelector: {labels: {app: customer}}\n---\n"
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: b}\nspec:\n"
        "  workloadSelector: {labels: {app: customer}}\n",
        5,
        'workload pod "customer-v1"',
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\nspec:\n"
        "  workloadSelector: {labels: {app: customer}}\n---\n"
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: b}\nspec:\n"
        "  workloadSelector: {labels: {app: preference}}\n",
    ),
    "a port without a protocol": Case(
        "IST0118",
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  ports:\n  - name: web\n    port: 80\n",
        6,
        "Port name web",
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  ports:\n  - name: http-web\n    port: 80\n",
    ),
    "an outside host over TCP": Case(
        "IST0134",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e}\nspec:\n"
        "  hosts: [a.example]\n  ports:\n  - {number: 3306, name: db, protocol: TCP}\n",
        7,
        "addresses",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e}\nspec:\n"
        "  hosts: [a.example]\n  ports:\n  - {number: 80, name: http, protocol: HTTP}\n",
    ),
}
