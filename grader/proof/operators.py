"""Mutation operators: one mistake at a time in a right answer, each with the concept it breaks.

An operator walks the documents of a solution and yields a change wherever it fits: weights, subsets,
percentages, faults, retries, timeouts, balancers, ejection, pools, mTLS, matches, hosts.  Those of
``EQUIVALENT`` change nothing that a mesh does; they are right answers that must pass.

A change is a function of plain data (the parsed YAML); the original stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Documents = list[Any]
Path = tuple[str | int, ...]
Change = tuple[str, Documents]
"""What was done, in a few words that are unique within the operator, and the documents after it."""
Operator = Callable[[Documents], Iterator[Change]]


def walk(node: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value of a tree with its path, parents first."""
    yield path, node
    children: Any = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    for key, child in children:
        yield from walk(child, (*path, key))


def at(documents: Documents, path: Path) -> Any:
    """The value at ``path``."""
    node: Any = documents
    for key in path:
        node = node[key]
    return node


def put(documents: Documents, path: Path, value: Any) -> Documents:
    """A copy with another value at ``path``."""
    changed = copy.deepcopy(documents)
    at(changed, path[:-1])[path[-1]] = value
    return changed


def drop(documents: Documents, path: Path) -> Documents:
    """A copy without what stands at ``path``."""
    changed = copy.deepcopy(documents)
    del at(changed, path[:-1])[path[-1]]
    return changed


def keyed(documents: Documents, *names: str) -> Iterator[tuple[Path, Any]]:
    """All values that stand behind one of these keys."""
    return ((path, value) for path, value in walk(documents) if path and path[-1] in names)


def place(path: Path) -> str:
    """A path in words, ``http.0.route.1``, without the document and ``spec``."""
    return ".".join(str(each) for each in path if each != "spec")


# Routing.


def weights(documents: Documents) -> Iterator[Change]:
    """Weights that are exchanged, shifted by ten points, or all on one destination."""
    for path, routes in keyed(documents, "route"):
        if not isinstance(routes, list) or len(routes) != 2:
            continue
        first, second = (int(item.get("weight", 0)) for item in routes)
        for what, pair in (
            ("exchanged", (second, first)),
            ("ten-more", (first - 10, second + 10)),
            ("ten-fewer", (first + 10, second - 10)),
            ("all-first", (100, 0)),
            ("all-second", (0, 100)),
        ):
            if pair != (first, second) and min(pair) >= 0 and sum(pair) == 100:
                changed = put(documents, (*path, 0, "weight"), pair[0])
                yield f"{what} {place(path)}", put(changed, (*path, 1, "weight"), pair[1])


def subsets(documents: Documents) -> Iterator[Change]:
    """A destination's subset that is another one, is misspelt, or is missing."""
    known = sorted(
        item["name"]
        for _, value in keyed(documents, "subsets")
        if isinstance(value, list)
        for item in value
    )
    for path, value in keyed(documents, "subset"):
        for other in known:
            if other != value:
                yield f"{other} {place(path)}", put(documents, path, other)
        yield f"misspelt {place(path)}", put(documents, path, f"{value}x")
        yield f"dropped {place(path)}", drop(documents, path)


def labels(documents: Documents) -> Iterator[Change]:
    """A subset's labels that no pod carries."""
    for path, value in keyed(documents, "labels"):
        if "subsets" in path and isinstance(value, dict):
            for key in value:
                yield f"{key} {place(path)}", put(documents, (*path, key), "nowhere")


def hosts(documents: Documents) -> Iterator[Change]:
    """A host that does not exist, in a rule or a destination."""
    for path, value in walk(documents):
        if not isinstance(value, str) or not path:
            continue
        if path[-1] == "host" or (len(path) > 1 and path[-2] == "hosts"):
            yield f"typo {place(path)}", put(documents, path, f"{value}x")


def match_order(documents: Documents) -> Iterator[Change]:
    """HTTP routes in the opposite order: the first one that fits wins."""
    for path, value in keyed(documents, "http"):
        if isinstance(value, list) and len(value) > 1:
            yield f"reversed {place(path)}", put(documents, path, list(reversed(value)))


def matches(documents: Documents) -> Iterator[Change]:
    """A condition that is missing, and an exact value that became a prefix."""
    for path, value in keyed(documents, "match"):
        if isinstance(value, list):
            yield f"dropped {place(path)}", drop(documents, path)
    for path, value in keyed(documents, "exact"):
        changed = drop(documents, path)
        at(changed, path[:-1])["prefix"] = value
        yield f"prefix {place(path)}", changed


def mirrors(documents: Documents) -> Iterator[Change]:
    """No mirror at all."""
    for path, _ in keyed(documents, "mirror"):
        yield f"dropped {place(path)}", drop(documents, path)


# Faults, time, retries.


def percentages(documents: Documents) -> Iterator[Change]:
    """Another share: ten points off, all, or none."""
    for path, value in keyed(documents, "value", "percent"):
        if path[-1] == "value" and (len(path) < 2 or "ercent" not in str(path[-2])):
            continue
        if isinstance(value, int | float):
            for other in (value - 10, value + 10, 100, 0):
                if 0 <= other <= 100 and other != value:
                    yield f"{other:g} {place(path)}", put(documents, path, other)


def faults(documents: Documents) -> Iterator[Change]:
    """A fault that is missing, or the other kind."""
    for path, value in keyed(documents, "fault"):
        yield f"dropped {place(path)}", drop(documents, path)
        if isinstance(value, dict) and set(value) == {"delay"}:
            share = {k: v for k, v in value["delay"].items() if k.startswith("percent")}
            abort = {"abort": {"httpStatus": 503, **share}}
            yield f"abort {place(path)}", put(documents, path, abort)


def durations(documents: Documents) -> Iterator[Change]:
    """A wrong unit: a thousandth, and tenfold; and no timeout at all."""
    names = ("fixedDelay", "timeout", "perTryTimeout", "baseEjectionTime")
    for path, value in keyed(documents, *names):
        if not isinstance(value, str) or not value.endswith("s"):
            continue
        amount = value.removesuffix("s").removesuffix("m")
        if not amount.replace(".", "").isdigit():
            continue
        milli = float(amount) * (1 if value.endswith("ms") else 1000)
        yield f"thousandth {place(path)}", put(documents, path, f"{max(1, round(milli / 1000))}ms")
        yield f"tenfold {place(path)}", put(documents, path, f"{round(milli * 10)}ms")
        if path[-1] != "fixedDelay":
            yield f"dropped {place(path)}", drop(documents, path)


def numbers(documents: Documents) -> Iterator[Change]:
    """One more, one fewer: attempts, errors in a row, pools."""
    names = (
        "attempts",
        "consecutiveErrors",
        "consecutive5xxErrors",
        "consecutiveGatewayErrors",
        "httpStatus",
        "maxConnections",
        "http1MaxPendingRequests",
        "http2MaxRequests",
    )
    for path, value in keyed(documents, *names):
        if isinstance(value, int):
            yield f"more {place(path)}", put(documents, path, value + 1)
            if value > 1:
                yield f"fewer {place(path)}", put(documents, path, value - 1)
    for path, value in keyed(documents, "maxEjectionPercent"):
        if value:
            yield f"none {place(path)}", put(documents, path, 0)


# Balancing and security.


def balancers(documents: Documents) -> Iterator[Change]:
    """Another load balancer."""
    kinds = ("ROUND_ROBIN", "RANDOM", "LEAST_CONN")
    for path, value in keyed(documents, "simple"):
        for other in kinds:
            if other != value and not (other == "LEAST_CONN" and value == "LEAST_REQUEST"):
                yield f"{other} {place(path)}", put(documents, path, other)


def modes(documents: Documents) -> Iterator[Change]:
    """Mutual TLS that is permitted instead of demanded, or off."""
    for path, value in keyed(documents, "mode"):
        for other in {"STRICT": ("PERMISSIVE", "DISABLE"), "ISTIO_MUTUAL": ("DISABLE",)}.get(
            value if isinstance(value, str) else "", ()
        ):
            yield f"{other} {place(path)}", put(documents, path, other)


def permissions(documents: Documents) -> Iterator[Change]:
    """An authorisation that lets anybody in, or every method and path."""
    for path, value in keyed(documents, "from", "to", "when"):
        if isinstance(value, list) and "rules" in path:
            yield f"dropped {place(path)}", drop(documents, path)
    for path, value in keyed(documents, "principals", "methods", "paths"):
        if isinstance(value, list) and value != ["*"]:
            yield f"any {place(path)}", put(documents, path, ["*"])


# What changes nothing.


def reordered(documents: Documents) -> Iterator[Change]:
    """Keys, subsets and documents in another order."""

    def turned(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: turned(value) for key, value in reversed(node.items())}
        return [turned(each) for each in node] if isinstance(node, list) else node

    changed = list(reversed(turned(documents)))
    for path, value in list(keyed(changed, "subsets")):
        if isinstance(value, list):
            changed = put(changed, path, list(reversed(value)))
    yield "keys", changed


def renamed(documents: Documents) -> Iterator[Change]:
    """The objects' own names, which nothing refers to."""
    changed = copy.deepcopy(documents)
    for item in changed:
        if item["kind"] in ("VirtualService", "DestinationRule"):
            item["metadata"]["name"] = f"my-{item['metadata']['name']}"
            yield item["kind"], copy.deepcopy(changed)


WRONG: dict[str, Operator] = {
    each.__name__.replace("_", "-"): each
    for each in (
        weights,
        subsets,
        labels,
        hosts,
        match_order,
        matches,
        mirrors,
        percentages,
        faults,
        durations,
        numbers,
        balancers,
        modes,
        permissions,
    )
}
EQUIVALENT: dict[str, Operator] = {"reordered": reordered, "renamed": renamed}


@dataclass(frozen=True, slots=True)
class Generated:
    """One generated variant; ``name`` is ``weights: exchanged http.0.route``."""

    name: str
    concept: str
    documents: Documents
    equivalent: bool


def generate(documents: Documents) -> Iterator[Generated]:
    """All variants of one file's documents, each operator's in order."""
    for table, equivalent in ((WRONG, False), (EQUIVALENT, True)):
        for name, operator in table.items():
            concept = (operator.__doc__ or "").split("\n")[0]
            for what, changed in operator(documents):
                if changed != documents:
                    yield Generated(f"{name}: {what}", concept, changed, equivalent)
