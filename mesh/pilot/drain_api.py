"""The control plane's part of ``meshctl restart``: a pod leaves the load balancing, and still runs.

    POST /drain  {pods: [{name, namespace}]} -> in_force, nacks, missing, reason

In Kubernetes a pod that is being deleted leaves its EndpointSlice first, so istiod sends endpoints
(EDS) without it, while its sidecar keeps its configuration and finishes what is open.
"""

from __future__ import annotations

from mesh.pilot.handler import Handler, outcome_to_dict


class Drain(Handler):
    """POST /drain."""

    async def post(self) -> None:
        """Answer when no sidecar sends the pods anything new."""
        body = self.body()
        names = self.read(lambda: [(str(p["name"]), str(p["namespace"])) for p in body["pods"]])
        self.answer(outcome_to_dict(await self.plane.drain_pods(names)))
