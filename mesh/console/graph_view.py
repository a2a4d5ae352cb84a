"""The service graph as the page draws it, and as the table beside it says it.

Nodes stand in columns by their distance from where requests come in; places depend on the names
alone, so nothing jumps when figures change.  The table has every figure of the picture.
"""

from __future__ import annotations

from typing import Any

from mesh.mixer.graph import Edge, Graph, Node

WIDTH, HEIGHT = 310, 120
COLUMNS = ("from", "to", "requests/s", "requests", "share", "errors", "p50 ms", "p99 ms", "mTLS")


def label(node: Node) -> str:
    """Return what stands at a node."""
    if node.kind == "service":
        return f"{node.name} (no endpoint)"
    return f"{node.app or node.name} {node.version}".strip()


def elements(graph: Graph) -> list[dict[str, Any]]:
    """Return the elements of a dash-cytoscape graph."""
    places = positions(graph)
    nodes: list[dict[str, Any]] = [
        {
            "data": {"id": each.id, "label": label(each)},
            "position": places[each.id],
            "classes": each.kind,
            "grabbable": False,
        }
        for each in graph.nodes
    ]
    edges: list[dict[str, Any]] = [
        {
            "data": {
                "id": f"{each.source}>{each.destination}>{each.service}>{each.mirrored}",
                "source": each.source,
                "target": each.destination,
                "label": edge_label(each),
                "width": 1.5 + 4 * each.share,
            },
            "classes": classes(each),
        }
        for each in graph.edges
    ]
    return nodes + edges


def edge_label(edge: Edge) -> str:
    """Return the figures of an edge: lock, split, rate, errors."""
    parts = ["🔒"] if edge.mtls else []
    parts.append("mirror" if edge.mirrored else f"{edge.share:.0%}")
    parts.append(f"{edge.rate:.1f}/s")
    if edge.errors:
        parts.append(f"{edge.error_rate:.0%} errors")
    return " · ".join(parts)


def classes(edge: Edge) -> str:
    """Return the style classes of an edge."""
    found = ["mirror"] if edge.mirrored else []
    if edge.error_rate > 0:
        found.append("failing" if edge.error_rate >= 0.05 else "errors")
    return " ".join(found)


def rows(graph: Graph) -> list[tuple[str, ...]]:
    """Return the edges as rows under ``COLUMNS``."""
    names = {each.id: label(each) for each in graph.nodes}
    secure = {True: "yes", False: "no", None: "unknown"}
    return [
        (
            names[each.source],
            names[each.destination],
            f"{each.rate:.1f}",
            str(each.requests),
            "mirror" if each.mirrored else f"{each.share:.1%}",
            f"{each.error_rate:.1%}",
            f"{each.p50:g}",
            f"{each.p99:g}",
            secure[each.mtls],
        )
        for each in graph.edges
    ]


def positions(graph: Graph) -> dict[str, dict[str, float]]:
    """Place nodes in columns by their distance from those that nobody calls."""
    called = {each.destination for each in graph.edges if each.source != each.destination}
    depth = {each.id: 0 for each in graph.nodes if each.id not in called}
    frontier = list(depth) or [each.id for each in graph.nodes[:1]]
    depth.update(dict.fromkeys(frontier, 0))
    while frontier:
        reached = []
        for each in graph.edges:
            if each.source in frontier and each.destination not in depth:
                depth[each.destination] = depth[each.source] + 1
                reached.append(each.destination)
        frontier = reached
    columns: dict[int, list[str]] = {}
    for node in graph.nodes:
        columns.setdefault(depth.get(node.id, 0), []).append(node.id)
    return {
        name: {"x": column * WIDTH, "y": (at - (len(ids) - 1) / 2) * HEIGHT}
        for column, ids in columns.items()
        for at, name in enumerate(ids)
    }


def note(graph: Graph) -> str:
    """Say what the figures rest on, and how many records have gone."""
    text = f"{graph.records:,} records read"
    if graph.forgotten:
        text += (
            f"; the oldest {graph.forgotten:,} are gone and count in these figures only, "
            f"the newest {graph.records - graph.forgotten:,} are kept one by one"
        )
    return text
