"""Paths and positions: every word of a resource has its place in the file."""

from mesh.istio import Level, by_age, era, load_text
from mesh.istio.resource import format_path, parse_path, show

TEXT = """\
# a comment
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: recommendation
  namespace: tutorial
  labels:
    app.kubernetes.io/name: r
spec:
  hosts: [recommendation]
  http:
    - route:
        - destination:
            host: recommendation
          weight: 90
        - destination: {host: recommendation, subset: v2}
          weight: 10
      mirror_percent: 5
      mirror: {host: recommendation}
"""


def test_paths_round_trip() -> None:
    for path in (
        "spec.http[0].route[1].weight",
        'metadata.labels["app.kubernetes.io/name"]',
        'a["x\\"y"][3].b',
    ):
        assert format_path(parse_path(path)) == path
    assert parse_path('m["a.b"].c[2]') == ("m", "a.b", "c", 2)


def test_positions_of_paths() -> None:
    (resource,) = load_text(TEXT, "f.yaml", era=era("istio-1.0")).resources
    places = {
        "spec.http[0].route[1].weight": (17, 11),
        "spec.http[0].route[1].destination.subset": (16, 47),
        'metadata.labels["app.kubernetes.io/name"]': (8, 5),
        "spec.hosts[0]": (10, 11),
        "spec.http[0].mirrorPercent": (18, 7),
        "spec.http[0].timeout": (12, 7),
        "": (2, 1),
    }
    for path, place in places.items():
        position = resource.position(path)
        assert (position.line, position.column) == place, path
    assert resource.source.value("spec.http[0].route[0].weight") == 90
    assert resource.source.value("spec.tcp[0]") is None
    value = resource.source.value_position("spec.http[0].route[0].weight")
    assert (value.line, value.column) == (15, 19)


def test_a_resource_says_who_it_is() -> None:
    (resource,) = load_text(TEXT, "f.yaml", era=era("istio-1.0")).resources
    assert resource.full_name == "VirtualService tutorial/recommendation"
    assert (resource.group, resource.version) == ("networking.istio.io", "v1alpha3")
    assert resource.labels == {"app.kubernetes.io/name": "r"}
    problem = resource.problem("KIT9999", Level.INFO, "look", "spec.http[0].route[0].weight")
    assert (problem.read, problem.position.line, problem.resource) == (
        "90",
        15,
        "VirtualService tutorial/recommendation",
    )


def test_what_is_shown_fits_a_line() -> None:
    assert show(True) == "true"
    assert show({"a": 1, "b": [2]}) == "{a: ..., b: ...}"
    assert show(["x", {"y": 1}]) == "[x, {y: ...}]"
    assert len(show("x" * 1000)) == 80


def test_istiods_order_of_what_comes_together() -> None:
    """Timestamps decide, and what has none is younger; of one age the name decides, then the namespace."""
    text = "---\n".join(
        f"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {meta}\nspec: {{host: h}}\n"
        for meta in (
            "{name: z, namespace: a}",
            "{name: b, namespace: z}",
            "{name: b, namespace: a}",
            "{name: c, creationTimestamp: 2026-03-01T10:00:01Z}",
            "{name: d, creationTimestamp: '2026-03-01T10:00:00Z'}",
            "{name: a, creationTimestamp: null}",
        )
    )
    found = load_text(text, "f.yaml", era=era("istio-1.28"), namespace="n").resources
    assert [(each.name, each.namespace) for each in by_age(found)] == [
        ("d", "n"),
        ("c", "n"),
        ("a", "n"),
        ("b", "a"),
        ("b", "z"),
        ("z", "a"),
    ]
