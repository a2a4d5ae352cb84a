"""The control plane's part of ``meshctl tap``: a pod's clients reach it through somebody who listens.

    POST /tap  {name, namespace, ports: {service port: port of the relay}}
               -> {"in_force": ...} once every sidecar sends there; the connection stays open

When the connection ends, however it does, the pod has its own address again.  A real mesh needs none of
this: ``tcpdump`` (ksniff) listens at the pod's interface, which a process of this machine does not have.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from tornado.web import HTTPError

from mesh.pilot.handler import Handler


class Tap(Handler):
    """POST /tap."""

    def prepare(self) -> None:
        """Called by tornado first."""
        self._gone = asyncio.Event()

    async def post(self) -> None:
        """Lead clients of a pod to other ports until the connection closes."""
        body = self.body()
        registry = self.plane.registry
        key = self.read(lambda: (str(body["namespace"]), str(body["name"])))
        ports = self.read(lambda: {int(k): int(v) for k, v in body["ports"].items()})
        pod = registry.pods.get(key)
        if pod is None:
            raise HTTPError(404, reason=f"no pod {key[1]} in {key[0]} gets requests")
        if key in self.plane.tapped:
            raise HTTPError(409, reason=f"somebody listens at {key[1]} already")
        tapped = replace(pod, ports=ports)
        self.plane.tapped.add(key)
        try:
            registry.add_pod(tapped)
            self.plane.push()
            outcome = await self.plane.in_force()
            self.set_header("content-type", "application/json")
            told = {"in_force": outcome.in_force, "reason": outcome.reason}
            self.write(json.dumps(told) + "\n")
            await self.flush()
            await self._gone.wait()
        finally:
            self.plane.tapped.discard(key)
            if registry.pods.get(key) == tapped:  # a pod that was killed meanwhile stays away
                registry.add_pod(pod)
                self.plane.push()

    def on_connection_close(self) -> None:
        """Called by tornado: who listened is gone."""
        self._gone.set()
