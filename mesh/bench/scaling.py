"""What a hop costs with larger bodies and with more routes: stock mitmdump, sidecar, Envoy.

Bodies: answers, and uploads, of 0 bytes to 10 MB.  Routes: a VirtualService of so many rules, the request is the
last one's, so every condition before it is tried (stock mitmdump has no routes).  Each size is
measured on all proxies in turn.
"""

from __future__ import annotations

import contextlib
import tempfile
from functools import partial
from pathlib import Path

from mesh.bench.proxies import Bench, load, proxies
from mesh.bench.rounds import Figures, interleaved
from mesh.envoy.supervisor import EnvoyMissingError
from mesh.istio.written import dump

SIZES = {"0 B": 0, "1 kB": 1_000, "10 kB": 10_000, "100 kB": 100_000, "1 MB": 10**6, "10 MB": 10**7}
ROUTES = (1, 10, 100, 1000)


def bodies(rounds: int, requests: int) -> dict[str, Figures]:
    """Measure answers and uploads of each size; large ones less often, so each size moves alike."""
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="mlb-") as folder, proxies(Path(folder)) as running:
        for label, size in SIZES.items():
            count = max(min(requests, 2 * 10**8 // (size + 1000)), 16)
            for way, path, upload in (("", f"/bytes/{size}", -1), ("upload of ", "/", size)):
                measures = {
                    f"{way}{label}, {proxy.name}": partial(load, proxy, count, path, upload)
                    for proxy in running
                }
                found |= interleaved(measures, rounds)
    return found


def routes(rounds: int, requests: int) -> dict[str, Figures]:
    """Measure the last of so many routes."""
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="mlb-") as folder, Bench(Path(folder)) as bench:
        nodes = [bench.node("sidecar")]
        running = [bench.sidecar(nodes[0])]
        with contextlib.suppress(EnvoyMissingError):
            node = bench.node("envoy")
            running.append(bench.envoy(node))
            nodes.append(node)
        bench.in_force(nodes)
        for count in ROUTES:
            result = bench.pilot.apply([("routes.yaml", rules(count))])
            if not result.in_force:
                raise RuntimeError(f"{count} routes: {result.reason or result.problems}")
            measures = {
                f"{count} routes, {proxy.name}": partial(load, proxy, requests) for proxy in running
            }
            found |= interleaved(measures, rounds)
    return found


def rules(count: int) -> str:
    """Return a VirtualService of ``count`` routes, the last of them for everything."""
    there = [{"destination": {"host": "upstream", "port": {"number": 8080}}}]
    only = [
        {
            "match": [
                {"uri": {"prefix": f"/shop/{n}/"}, "headers": {"x-user": {"exact": f"u{n}"}}}
            ],
            "route": there,
        }
        for n in range(count - 1)
    ]
    spec = {"hosts": ["upstream"], "http": [*only, {"route": there}]}
    kind = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService"}
    return dump({**kind, "metadata": {"name": "upstream", "namespace": "bench"}, "spec": spec})
