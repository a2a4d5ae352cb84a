"""What is translated after a change has to be what a translation from nothing gives."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mesh.bench import synthetic
from mesh.istio import load_text
from mesh.pilot.control_plane import ControlPlane
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.store import Store, key_of
from mesh.pilot.translate import Packed, Translator, blocks
from mesh.pilot.translate.view import MeshView
from mesh.topology import ISTIO, TLS_MODE, Pod, Port, Service

NAMESPACES = ("one", "two", "istio-system")
NAMES = ("a", "b", "c")
GATEWAY = "{selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}"


def hosts(draw: random.Random) -> str:
    name, namespace = draw.choice(NAMES), draw.choice(NAMESPACES)
    return draw.choice(
        (name, f"{name}.{namespace}.svc.cluster.local", f"*.{namespace}.svc.cluster.local")
    )


def exported(draw: random.Random) -> str:
    return draw.choice(("", "", ", exportTo: ['.']", ", exportTo: [one]", ", exportTo: ['*']"))


def route(draw: random.Random) -> str:
    subset = draw.choice(("", ", subset: v1"))
    match = draw.choice(("", "match: [{sourceLabels: {app: a}}], ", "match: [{port: 8080}], "))
    return f"{{{match}route: [{{destination: {{host: {hosts(draw).lstrip('*.')}{subset}}}}}]}}"


def spec(draw: random.Random, kind: str) -> str:
    """Draw a spec in YAML's flow style."""
    if kind == "VirtualService":
        gateways = draw.choice(("", "", ", gateways: [mesh, gw]", ", gateways: [gw]"))
        if draw.random() < 0.2:
            other = f"{{name: {draw.choice(NAMES)}, namespace: {draw.choice(NAMESPACES)}}}"
            rule = draw.choice((f"{{delegate: {other}}}", route(draw)))
            return draw.choice(
                (f"{{hosts: ['{hosts(draw)}'], http: [{rule}]}}", f"{{http: [{route(draw)}]}}")
            )
        if draw.random() < 0.1:
            destination = f"{{destination: {{host: {draw.choice(NAMES)}}}}}"
            return f"{{hosts: [{draw.choice(NAMES)}], tcp: [{{route: [{destination}]}}]}}"
        return f"{{hosts: ['{hosts(draw)}'], http: [{route(draw)}]{gateways}{exported(draw)}}}"
    if kind == "DestinationRule":
        subsets = draw.choice(("", ", subsets: [{name: v1, labels: {version: v1}}]"))
        tls = draw.choice(("", ", trafficPolicy: {tls: {mode: DISABLE}}"))
        chosen = draw.choice(("", "", ", workloadSelector: {matchLabels: {app: a}}"))
        return f"{{host: '{hosts(draw)}'{subsets}{tls}{exported(draw)}{chosen}}}"
    if kind == "Sidecar":
        patterns = ("*/*", "./*", "one/*", f"*/{hosts(draw)}", f"two/{hosts(draw)}", "~/*")
        egress = ", ".join(f"'{draw.choice(patterns)}'" for _ in range(draw.randint(1, 2)))
        policy = draw.choice(("", ", outboundTrafficPolicy: {mode: REGISTRY_ONLY}"))
        return f"{{egress: [{{hosts: [{egress}]}}]{policy}}}"
    if kind == "ServiceEntry":
        host = draw.choice(("shop.example.com", "*.example.com", "c.two.svc.cluster.local"))
        protocol = draw.choice(
            ("{number: 80, name: http, protocol: HTTP}", "{number: 443, name: tls, protocol: TLS}")
        )
        where = draw.choice(
            (
                "resolution: DNS",
                "workloadSelector: {labels: {app: b}}, resolution: STATIC, location: MESH_INTERNAL",
            )
        )
        return f"{{hosts: ['{host}'], ports: [{protocol}], {where}{exported(draw)}}}"
    if kind == "PeerAuthentication":
        chosen = draw.choice(("", "selector: {matchLabels: {app: b}}, "))
        return f"{{{chosen}mtls: {{mode: {draw.choice(('STRICT', 'DISABLE'))}}}}}"
    if kind == "AuthorizationPolicy":
        return draw.choice(("{}", "{selector: {matchLabels: {app: a}}, rules: [{}]}"))
    if kind == "HTTPRoute":
        parent = draw.choice(
            (f"{{group: '', kind: Service, name: {draw.choice(NAMES)}}}", "{name: kgw}")
        )
        backend = f"{{name: {draw.choice(NAMES)}, port: 8080}}"
        return f"{{parentRefs: [{parent}], rules: [{{backendRefs: [{backend}]}}]}}"
    assert kind == "Gateway"
    return GATEWAY


KINDS = {
    "VirtualService": "networking.istio.io/v1",
    "DestinationRule": "networking.istio.io/v1",
    "Sidecar": "networking.istio.io/v1",
    "ServiceEntry": "networking.istio.io/v1",
    "PeerAuthentication": "security.istio.io/v1",
    "AuthorizationPolicy": "security.istio.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "Gateway": "networking.istio.io/v1",
}


def pod(name: str, namespace: str, version: str, port: int) -> Pod:
    labels = {"app": name, "version": version, TLS_MODE: ISTIO}
    place = (f"{name}-{version}", namespace, name, f"{name}-{version}")
    return Pod(*place, labels, name, "127.0.0.1", {8080: port})


def node(name: str, namespace: str) -> ProxyNode:
    return ProxyNode(
        f"{name}-v1",
        namespace,
        labels={"app": name, "version": "v1", TLS_MODE: ISTIO},
        services=(f"{name}.{namespace}.svc.cluster.local",),
        inbound_ports={8080: 1},
        outbound_port=2,
        access_log="log",
        tcp_ports={"c.two.svc.cluster.local:9000": 3},
    )


def fresh(plane: ControlPlane) -> dict[str, Packed]:
    registry = Registry()
    for service in plane.registry.services.values():
        registry.add_service(service)
    for each in plane.registry.pods.values():
        registry.add_pod(each)
    translator = Translator(MeshView(registry, tuple(plane.in_order), plane.era))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "SIZE", 1000)  # how the services are cut makes no difference
        return {key: translator.snapshot(each) for key, each in plane.nodes.items()}


def change(plane: ControlPlane, draw: random.Random) -> str:
    """Make one random change and push; return what it was, for whoever reads a failure."""
    name, namespace = draw.choice(NAMES), draw.choice(NAMESPACES)
    done = draw.random()
    if done < 0.1:
        version = draw.choice(("v1", "v2"))
        if not plane.registry.remove_pod(f"{name}-{version}", namespace):
            plane.registry.add_pod(pod(name, namespace, version, draw.randint(1000, 2000)))
        plane.push()
        return f"pod {name}-{version} of {namespace}"
    if done < 0.18:
        ports = draw.choice(((Port(),), (Port(), Port(9000, "tcp", "tcp"))))
        service = Service(name, namespace, ports, (), draw.choice(((), (".",), ("*",))))
        plane.registry.add_service(service)
        plane.push()
        return f"service {service}"
    if done < 0.22:
        each = node(name, namespace)
        if each.id in plane.nodes and len(plane.nodes) > 2:
            plane.remove_pods([(each.pod, namespace)])
        else:
            plane.add_pods([(each, None)])
        return f"node {each.id}"
    if done < 0.4 and plane.resources:
        key = draw.choice(sorted(plane.resources))
        plane.update((), [key])
        return f"- {key}"
    kind = draw.choice(sorted(KINDS))
    made = spec(draw, kind)
    meta = (
        "{name: gw, namespace: one}"
        if kind == "Gateway"
        else f"{{name: {name}, namespace: {namespace}}}"
    )
    text = f"apiVersion: {KINDS[kind]}\nkind: {kind}\nmetadata: {meta}\nspec: {made}\n"
    loaded = load_text(text, "x.yaml", era=synthetic.ERA, namespace="one")
    assert loaded.resources, (text, loaded.problems)
    plane.update(loaded.resources, ())
    return text


@pytest.mark.parametrize("seed", range(3))
def test_a_change_gives_what_a_translation_from_nothing_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(blocks, "SIZE", 2)
    draw = random.Random(seed)
    plane = ControlPlane(Store(tmp_path), synthetic.ERA)
    for namespace in NAMESPACES:
        for name in NAMES:
            plane.registry.add_service(Service(name, namespace))
            plane.registry.add_pod(pod(name, namespace, "v1", 1000))
    gateway = ProxyNode(
        "gw-0", "one", "router", {"istio": "ingressgateway"}, gateway_ports={80: 5}, access_log="l"
    )
    plane.add_pods([(each, None) for each in (node("a", "one"), node("b", "two"), gateway)])
    history: list[str] = []
    for _ in range(30):
        history.append(change(plane, draw))
        expected = fresh(plane)
        assert plane.snapshots.keys() == expected.keys()
        for key, resources in expected.items():
            assert plane.snapshots[key] == resources, "\n".join([*history[-3:], key])


def test_what_cannot_be_translated_leaves_everything_as_it_was(tmp_path: Path) -> None:
    plane = ControlPlane(Store(tmp_path), synthetic.ERA)
    plane.registry.add_service(Service("a", "one"))
    plane.add_pods([(node("a", "one"), None)])
    good = load_text(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\n"
        "metadata: {name: p, namespace: one}\nspec: {}\n",
        "good.yaml",
        era=synthetic.ERA,
    ).resources
    bad = load_text(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\n"
        "metadata: {name: p, namespace: one}\n"
        "spec: {jwtRules: [{issuer: a, jwksUri: https://a.example/keys}]}\n",
        "bad.yaml",
        era=synthetic.ERA,
    ).resources
    plane.update(good, ())
    before = {key: dict(each) for key, each in plane.snapshots.items()}
    with pytest.raises(ValueError, match="jwksUri"):
        plane.update(bad, ())
    assert plane.snapshots == before == fresh(plane)
    assert plane.resources[key_of(good[0])] is good[0]


def test_only_those_are_pushed_to_whose_configuration_changed(tmp_path: Path) -> None:
    made = synthetic.make(3 * synthetic.TEAM)
    plane = ControlPlane(Store(tmp_path), synthetic.ERA, registry=made.registry)
    plane.update([each for text in synthetic.documents(made) for each in synthetic.load(text)], ())
    plane.add_pods([(synthetic.node(number), None) for number in range(0, len(made), 10)])
    before = dict(plane.snapshots)
    callee = next(number for number in range(len(made)) if made.calls[number])
    target = made.calls[callee][0]
    plane.update(synthetic.load(synthetic.rule(target, 7)), ())
    changed = {key for key, each in plane.snapshots.items() if each is not before[key]}
    callers = {
        node.namespace
        for node in plane.nodes.values()
        if any(
            synthetic.namespace(n) == node.namespace and target in made.calls[n] for n in made.calls
        )
    }
    assert changed == {key for key, each in plane.nodes.items() if each.namespace in callers}
    assert 0 < len(changed) < len(plane.nodes)
    for key in changed:
        new, old = plane.snapshots[key], before[key]
        names = {
            name
            for url in new
            for name, content in new[url].items()
            if old[url].get(name) is not content
        }
        host = synthetic.hostname(target)
        assert {name for name in names if host not in name} <= {"http_proxy"}
