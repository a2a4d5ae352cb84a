"""``meshctl graph``: who calls whom in a running mesh, and ``meshctl top``: the same, live."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.commands.common import Mesh, Output, attach, check_output, print_json
from mesh.commands.errors import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.tree import Tree

    from mesh.mixer.graph import Edge, Graph, Node

Last = Annotated[
    float, typer.Option("--last", metavar="SECONDS", help="Only the last seconds (up to 600).")
]
REFRESH_SECONDS = 1.0
TOP_SECONDS = 60.0


def graph(last: Last = 0.0, mesh: Mesh = "", output: Output = "text") -> None:
    """Show the service graph: rate, traffic split, errors, latency and mTLS of each call."""
    check_output(output)
    found = _graph(mesh, last)
    if output == "json":
        print_json(found.as_dict())
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not found.edges:
        console.print("no requests so far: send some with `meshctl curl /`")
    for each in trees(found):
        console.print(each)
    console.print(summary(found), style="dim")


def top(
    last: Last = TOP_SECONDS,
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
    mesh: Mesh = "",
) -> None:
    """Show the calls of the last minute as a table, renewed every second until Ctrl-C."""
    from rich.console import Console
    from rich.live import Live

    if last <= 0:
        raise UserError("--last needs a number of seconds above 0")
    console = Console(highlight=False)
    if once or not console.is_terminal:
        console.print(table(_graph(mesh, last)))
        return
    import threading

    never = threading.Event()
    with Live(table(_graph(mesh, last)), console=console, screen=True) as live:
        while not never.wait(REFRESH_SECONDS):
            live.update(_screen(_graph(mesh, last)))


def _graph(mesh: str, seconds: float) -> Graph:
    return attach(mesh).telemetry().graph(seconds)


def _screen(found: Graph) -> RenderableType:
    from rich.console import Group

    return Group(table(found), summary(found))


def label(node: Node) -> str:
    """``recommendation v2``; a service of which no endpoint was reached, a host outside."""
    if node.kind == "service":
        return f"{node.name} ({'service' if node.namespace != 'unknown' else 'outside'})"
    return f"{node.app or node.name} {node.version}".strip()


def facts(edge: Edge) -> str:
    """Return what an edge tells, in one line."""
    parts = [f"{edge.rate:.1f}/s", f"{edge.requests} requests"]
    if edge.tries > edge.requests:
        parts.append(f"{edge.tries} tries")
    if edge.mirrored:
        parts.append("mirrored")
    elif edge.share < 1:
        parts.append(f"{edge.share:.1%} of the calls")
    parts.append(f"{edge.error_rate:.1%} errors" if edge.errors else "no errors")
    parts.append(f"p50 {edge.p50:g} ms, p99 {edge.p99:g} ms")
    if edge.mtls is not None:
        parts.append("mTLS" if edge.mtls else "plaintext")
    parts += [f"{count} x {flag}" for flag, count in edge.flags.items()]
    return ", ".join(parts)


def trees(found: Graph) -> Iterable[Tree]:
    """Return a tree for each node that nobody calls; what was shown is not unfolded again."""
    from rich.text import Text
    from rich.tree import Tree

    nodes = {node.id: node for node in found.nodes}
    called = {edge.destination for edge in found.edges if edge.source != edge.destination}
    roots = [node.id for node in found.nodes if node.id not in called]
    roots += [edge.source for edge in found.edges[:1] if not roots]
    shown: set[str] = set()

    def unfold(tree: Tree, name: str) -> None:
        if name in shown:
            return
        shown.add(name)
        for edge in found.edges:
            if edge.source == name:
                target = nodes[edge.destination]
                text = Text.assemble(
                    (label(target), "bold"),
                    "  ",
                    (facts(edge), "red" if edge.errors else "green"),
                )
                unfold(tree.add(text), edge.destination)

    for root in roots:
        tree = Tree(Text(label(nodes[root]), "bold"))
        unfold(tree, root)
        yield tree


def table(found: Graph) -> Table:
    """Return the edges as a table."""
    from rich.table import Table

    nodes = {node.id: node for node in found.nodes}
    made = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    made.add_column("FROM")  # on a narrow terminal names are broken, never numbers
    made.add_column("TO")
    for name in ("REQ/S", "COUNT", "TRIES", "SHARE", "ERRORS", "P50", "P99"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("MTLS", no_wrap=True)
    made.add_column("FLAGS")
    for edge in found.edges:
        made.add_row(
            label(nodes[edge.source]),
            label(nodes[edge.destination]),
            f"{edge.rate:.1f}",
            str(edge.requests),
            str(edge.tries or edge.requests),
            "mirror" if edge.mirrored else f"{edge.share:.1%}",
            f"{edge.error_rate:.1%}",
            f"{edge.p50:g}",
            f"{edge.p99:g}",
            {True: "yes", False: "no", None: "?"}[edge.mtls],
            " ".join(f"{flag}:{count}" for flag, count in edge.flags.items()),
            style="red" if edge.errors else "",
        )
    return made


def summary(found: Graph) -> str:
    """Say what the graph rests on."""
    text = f"{found.records:,} access log records"
    if found.forgotten:
        text += f"; the oldest {found.forgotten:,} of them are counted here but not kept one by one"
    return text
