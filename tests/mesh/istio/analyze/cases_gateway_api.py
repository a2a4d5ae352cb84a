"""Cases of the analyzers that look at the Gateway API."""

from __future__ import annotations

from tests.mesh.istio.analyze.written import AT_SERVICE, AT_SHOP, ROUTE, SHOP, Case, api, vs

GATEWAY_API = {
    "an HTTPRoute to nobody": Case(
        "IST0101",
        api(AT_SERVICE + "rules:\n- backendRefs:\n  - {name: recomendation, port: 8080}"),
        10,
        '"recomendation"',
        api(AT_SERVICE + "rules:\n- backendRefs:\n  - {name: recommendation, port: 8080}"),
    ),
    "an HTTPRoute to a port that nobody has": Case(
        "IST0101",
        api(AT_SERVICE + "rules:\n- backendRefs:\n  - {name: shop, port: 80}"),
        10,
        'host:port not found: "shop:80"',
        api(AT_SERVICE + "rules:\n- backendRefs:\n  - {name: shop, port: 9090}"),
    ),
    "an HTTPRoute of a Gateway that is not there": Case(
        "IST0101",
        SHOP + api("parentRefs:\n- name: shap"),
        15,
        'gateway not found: "tutorial/shap"',
        SHOP + api(AT_SHOP + "hostnames: [de.shop]"),
    ),
    "no listener of that name": Case(
        "KIT0114",
        SHOP + api(AT_SHOP + "  sectionName: https"),
        16,
        'sectionName "https" not found',
        SHOP + api(AT_SHOP + "  sectionName: http"),
    ),
    "no host in common": Case(
        "KIT0114",
        SHOP + api(AT_SHOP + "hostnames: [other.example]"),
        15,
        'no hostnames matched parent hostname "*.shop"',
        SHOP + api(AT_SHOP),
    ),
    "a namespace that is not let in": Case(
        "KIT0114",
        (SHOP + api(AT_SHOP)).replace("{name: shop}", "{name: shop, namespace: front}", 1)
        + "    namespace: front\n",
        15,
        'namespace "tutorial" is not allowed by the parent',
        SHOP + api(AT_SHOP),
    ),
    "a backend of another namespace": Case(
        "KIT0115",
        SHOP + api(AT_SHOP + "rules:\n- backendRefs:\n  - {name: b, namespace: other, port: 80}"),
        18,
        "missing a ReferenceGrant?",
        SHOP + api(AT_SHOP + "rules:\n- backendRefs:\n  - {name: recommendation, port: 8080}"),
    ),
    "a backend that is no Service": Case(
        "KIT0115",
        api(AT_SERVICE + "rules:\n- backendRefs:\n  - {group: a.example, kind: Bucket, name: b}"),
        10,
        'kind "Bucket"',
        api(AT_SERVICE + "rules:\n- backendRefs:\n  - {kind: Service, name: shop, port: 8080}"),
    ),
    "an HTTPRoute and a VirtualService": Case(
        "KIT0116",
        vs(ROUTE) + api(AT_SERVICE),
        14,
        "only one of them is in force",
        vs(ROUTE, "customer") + api(AT_SERVICE),
    ),
}
