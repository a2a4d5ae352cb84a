"""Classroom: the mesh of a notebook, with the verbs that a lecture needs.

``open_classroom()`` starts one (engine and runtime by ``ENGINE`` and ``RUNTIME``), or takes up the kept
mesh that ``MESH`` names.  The mesh ends with the kernel, however that ends: its processes hang on a
socket of this one.  ``close`` ends it sooner, which is the last cell of each notebook.
"""

from __future__ import annotations

import atexit
import itertools
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mesh.console.request_view import waterfall
from mesh.istio.analyze.files import check_text
from mesh.istio.eras import era
from mesh.istio.load import load_text
from mesh.istio.resource import Resource
from mesh.mixer.graph import Graph
from mesh.notebook import charts
from mesh.notebook.show import Live, show
from mesh.notebook.traffic import Question, Seen, batches
from mesh.state import runs
from mesh.testbed.base import ApplyError, Document
from mesh.testbed.choose import attach_to, testbed_for
from mesh.testbed.client import TestbedError
from mesh.testbed.load_topology import load_topology
from mesh.testbed.mesh_testbed import MeshTestbed
from mesh.topology import Pod

ERA = "istio-1.9"
PATIENCE = 60.0
"""Seconds that a change may take on a busy machine before a cell gives up."""

TOPOLOGY: dict[str, Any] = {
    "world": ["edition.cnn.com"],
    "services": {
        "customer": None,
        "preference": None,
        "recommendation": {"workloads": [{"version": "v1"}, {"version": "v2"}]},
        "shop": {"options": {"url": "http://stock:8080/"}},
        "reports": {"options": {"url": "http://stock:8080/"}},
        "stock": {"app": "scripted", "options": {"default": {"body": "stock: 7"}}},
    },
}
"""One mesh for all acts: the tutorial's three services, two stacks with resilience by hand, and a
backend (``stock``) that answers as each request asks it to."""

Drawing = Callable[[Sequence[Seen]], "tuple[go.Figure, str]"]


class ClassroomError(Exception):
    """The mesh cannot be opened; one sentence that says what to do."""


class Classroom:
    """One mesh; ``owned`` is False when somebody else's kept mesh was taken up."""

    def __init__(self, bed: MeshTestbed, *, owned: bool) -> None:
        self.bed = bed
        self._owned = owned
        self._stretch = itertools.count(1)
        self._nonce = secrets.token_hex(3)

    # Change it.

    def apply(self, text: str) -> None:
        """Bring YAML into force beside what is there; prints how long it took, or why not."""
        self._bring([("cell.yaml", text)])

    def only(self, text: str = "") -> None:
        """Make the YAML the whole configuration (nothing: the mesh as it was opened)."""
        namespace = self.bed.topology.namespace
        loaded = load_text(text, "cell.yaml", era=era(self.bed.era), namespace=namespace)
        for problem in loaded.problems:
            print(problem)
        self._bring(loaded.resources)

    def _bring(self, what: Sequence[Document | Resource]) -> None:
        """Apply and wait; a slow laptop may take longer than the control plane's own deadline."""
        begin, said = time.monotonic(), ""
        try:
            result = self.bed.apply(what)
        except ApplyError as refused:
            result, said = refused.result, str(refused)
            if result.nacks or any(str(each.level) == "error" for each in result.problems):
                print(f"refused: {said}")
                return
            if not self.bed.pilot.in_force(timeout=PATIENCE).in_force:
                raise
        for problem in result.problems:
            print(problem)
        seconds = result.seconds if not said else time.monotonic() - begin
        names = ", ".join(result.applied) or "nothing but the way in"
        print(f"in force after {seconds * 1000:.0f} ms: {names}")

    def check(self, text: str) -> None:
        """Print what the analyzer says about YAML that is not applied."""
        topology = self.bed.topology
        found = check_text(
            text,
            "cell.yaml",
            era=era(self.bed.era),
            namespace=topology.namespace,
            services=topology,
        ).problems
        print("\n".join(map(str, found)) or "nothing to complain about")

    def kill(self, name: str) -> Pod:
        """Kill a pod (its name, or the beginning of it); prints and returns the one after it."""
        old = self.bed.find(name).name
        new = self.bed.kill_pod(old)
        print(f"{old} was killed, {new.name} took its place")
        return new

    # Ask it.

    def send(
        self,
        count: int,
        path: str = "/",
        *,
        draw: Drawing | None = None,
        from_pod: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes = b"",
        users: int = 4,
    ) -> list[Seen]:
        """Send requests, ``users`` at a time; ``draw`` draws what was seen so far, live."""
        name = f"cell-{self._nonce}-{next(self._stretch)}"
        seen: list[Seen] = []
        what = Question(path, from_pod, headers, method, body)
        with Live() as live:
            for seen in batches(self.bed, count, what, name=name, users=users):
                if draw is not None:
                    live(*draw(seen))
        return seen

    def curl(self, path: str = "/", **more: Any) -> None:
        """Send one request and print status and body."""
        (seen,) = self.send(1, path, **more)
        print(f"{seen.status or 'no answer'}  {seen.text}")

    # Look into it.

    def graph(self, seconds: float = 0.0) -> Graph:
        """Return the service graph of the last seconds (0: of all time), complete up to now."""
        return self.bed.telemetry().graph(seconds)

    def show_graph(self, seconds: float = 0.0, title: str = "Who calls whom") -> None:
        """Draw the service graph."""
        show(*charts.service_graph(self.graph(seconds), title))

    def hops(self, seen: Seen) -> tuple[dict[str, Any], ...]:
        """Return what each sidecar did with a request, in order."""
        return tuple(self.bed.explain(seen.request_id))

    def show_hops(self, seen: Seen) -> None:
        """Draw a request's way: a bar for each sidecar that had it."""
        hops = self.hops(seen)
        said = ", ".join(f"{hop['pod'].split('-')[0]} {hop['direction']}" for hop in hops)
        show(waterfall(hops, dark=False), f"{len(hops)} sidecars: {said}")

    def received(self, seen: Sequence[Seen], app: str) -> int:
        """How many requests the applications of ``app`` wrote down for these: tries, copies and all."""
        ids = {each.request_id for each in seen}
        return sum(
            line["request_id"] in ids and str(line["pod"]).startswith(f"{app}-")
            for line in self.bed.journal()
        )

    def flags(self, seen: Sequence[Seen]) -> dict[str, int]:
        """Which of Envoy's response flags the sidecars wrote for these requests, and how often."""
        ids = {each.request_id for each in seen}
        found: dict[str, int] = {}
        for record in self.bed.access_log():
            if record.request_id in ids and record.response_flags not in ("", "-"):
                found[record.response_flags] = found.get(record.response_flags, 0) + 1
        return found

    def close(self) -> None:
        """End the mesh, or leave somebody else's as it was found; again: nothing happens."""
        atexit.unregister(self.close)
        if self._owned:
            self.bed.stop()
        else:
            self._bring([])
            self.bed.leave()
        print("the mesh is ended" if self._owned else "the mesh goes on, without what was applied")


def open_classroom(topology: Mapping[str, Any] | None = None) -> Classroom:
    """Start the mesh of the notebooks, or take up the one that ``MESH`` names."""
    runtime = os.environ.get("RUNTIME") or "local"
    name = os.environ.get("MESH", "")
    if name:
        room = Classroom(_attach(name), owned=False)
    else:
        engine = os.environ.get("ENGINE") or "mitmproxy"
        wanted = load_topology(topology or TOPOLOGY)
        bed = testbed_for(runtime, wanted, engine=engine, era=ERA)
        try:
            bed.start()
        except TestbedError as problem:
            raise ClassroomError(f"The mesh did not start: {problem}") from None
        room = Classroom(bed, owned=True)
    atexit.register(room.close)
    pods = room.bed.pods()
    print(f"{len(pods)} pods behind {room.bed.engine} sidecars, {room.bed.era}")
    return room


def _attach(name: str) -> MeshTestbed:
    for run in runs():
        if run.name == name:
            return attach_to(run)
    raise ClassroomError(f"No mesh is called {name!r}: `meshctl status` names those that run.")
