"""The HTTP API of the control plane, on a Unix socket in a folder that only its owner may enter.

    POST   /apply            {documents: [{file, text}], era?, keep?: [{kind, namespace, name}]}
                             -> problems, applied, in_force, nacks
    POST   /delete           {resources: [{kind, namespace, name}]} -> the same
    POST   /services         {services: [...]}           POST /pods  {add: [...]} or {remove: [...]}
    POST   /mixer-feed       {after, error?} -> the state of the mesh, when it is newer (mixer_feed)
    GET    /names/NODE/TAG   -> tag, names: what the DNS of a pod answers, when it is not TAG's (names_feed)
    POST   /in-force         {nodes?: [...], timeout?} -> in_force, nacks, missing, reason
    GET    /ready  /resources  /services  /proxy-status  /snapshot/NODE  /proxy-config/NODE/VIEW

The paths of the certificate authority are in ``mesh.pilot.citadel_api``, ``/tap`` in ``tap_api``,
``/drain`` in ``drain_api``.
Every answer is JSON; an error is ``{"error": "one sentence"}``.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict

from tornado.web import Application, HTTPError, RequestHandler

from mesh.istio import era
from mesh.pilot import citadel_api, proxy_config
from mesh.pilot.control_plane import ControlPlane
from mesh.pilot.drain_api import Drain
from mesh.pilot.handler import Handler, outcome_to_dict
from mesh.pilot.names_feed import Table
from mesh.pilot.node import ProxyNode
from mesh.pilot.tap_api import Tap
from mesh.pilot.translate import SHORT, unpack
from mesh.pilot.wire import pod_from_dict, service_from_dict
from mesh.redact import redacted

MAX_BODY = 16 * 1024 * 1024


class Apply(Handler):
    """POST /apply."""

    async def post(self) -> None:
        """Apply documents; with an error nothing is applied."""
        body = self.body()
        documents = self.read(lambda: [(str(d["file"]), str(d["text"])) for d in body["documents"]])
        chosen = self.read(lambda: era(body["era"]) if body.get("era") else None)
        keep = self.read(lambda: self.keys(body["keep"]) if "keep" in body else None)
        self.answer((await self.plane.apply(documents, chosen, keep)).as_dict())


class Delete(Handler):
    """POST /delete."""

    async def post(self) -> None:
        """Remove resources."""
        body = self.body()
        keys = self.read(lambda: self.keys(body["resources"]))
        self.answer((await self.plane.delete(keys)).as_dict())


class Resources(Handler):
    """GET /resources."""

    def get(self) -> None:
        """List what is applied, in order."""
        self.answer(
            [
                {
                    "kind": each.qualified_kind,
                    "apiVersion": each.api_version,
                    "namespace": each.namespace,
                    "name": each.name,
                    "file": each.source.file,
                    "line": each.source.root.line,
                    "text": each.source.text,
                }
                for each in self.plane.in_order
            ]
        )


class Services(Handler):
    """GET and POST /services."""

    def get(self) -> None:
        """List services with the pods behind them."""
        registry = self.plane.registry
        self.answer(
            [
                {
                    "hostname": hostname,
                    "ports": [asdict(port) for port in registry.services[hostname].ports],
                    "pods": [asdict(pod) for pod in registry.pods_of(hostname)],
                }
                for hostname in sorted(registry.services)
            ]
        )

    def post(self) -> None:
        """Make services known."""
        body = self.body()
        for service in self.read(lambda: [service_from_dict(each) for each in body["services"]]):
            self.plane.registry.add_service(service)
        self.plane.push()
        self.answer({})


class Pods(Handler):
    """POST /pods."""

    def post(self) -> None:
        """Register nodes with their pods, or remove them."""
        body = self.body()
        gone = self.read(
            lambda: [(str(r["name"]), str(r["namespace"])) for r in body.get("remove", [])]
        )
        new = self.read(
            lambda: [
                (
                    ProxyNode.from_dict(a["node"]) if a.get("node") else None,
                    pod_from_dict(a["pod"]) if a.get("pod") else None,
                )
                for a in body.get("add", [])
            ]
        )
        if gone:
            self.plane.remove_pods(gone)
        self.answer({"tokens": self.plane.add_pods(new) if new else {}})


class InForce(Handler):
    """POST /in-force."""

    async def post(self) -> None:
        """Wait until nodes (all that are connected, or those named) have their configuration."""
        body = self.body()
        names = body.get("nodes")
        nodes = None if names is None else [self.node(str(name)).id for name in names]
        timeout = self.read(lambda: float(body["timeout"]) if body.get("timeout") else None)
        self.answer(outcome_to_dict(await self.plane.in_force(nodes, timeout)))


class ProxyStatus(Handler):
    """GET /proxy-status."""

    def get(self) -> None:
        """Return a row for each node."""
        self.answer([each.as_dict() for each in self.plane.status()])


class SnapshotOf(Handler):
    """GET /snapshot/NODE."""

    def get(self, name: str) -> None:
        """Return a node's whole xDS as JSON: CDS, EDS, LDS, RDS -> name -> resource."""
        snapshot = unpack(self.plane.snapshots[self.node(name).id])
        self.answer(
            {
                SHORT[url]: {key: redacted(message.to_dict()) for key, message in resources.items()}
                for url, resources in snapshot.items()
            }
        )


class ProxyConfig(Handler):
    """GET /proxy-config/NODE/VIEW."""

    def get(self, name: str, view: str) -> None:
        """Return a table: columns and rows."""
        rows = proxy_config.VIEWS.get(view)
        if rows is None:
            raise HTTPError(
                404, reason=f'no view "{view}"; there are: {", ".join(proxy_config.VIEWS)}'
            )
        snapshot = unpack(self.plane.snapshots[self.node(name).id])
        self.answer({"columns": proxy_config.COLUMNS[view], "rows": rows(snapshot)})


class MixerFeedOf(Handler):
    """POST /mixer-feed."""

    async def post(self) -> None:
        """Answer with the state of the mesh when it is newer than what Mixer has."""
        body = self.body()
        after = self.read(lambda: int(body["after"]))
        waiting = asyncio.ensure_future(self.plane.mixer.next(after, str(body.get("error", ""))))
        self._waiting = waiting
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
            self.answer(self.plane.mixer_state())

    def on_connection_close(self) -> None:
        """Called by tornado: Mixer is gone."""
        self._waiting.cancel()
        self.plane.mixer.lost()


class Names(Handler):
    """GET /names/NODE/TAG."""

    _waiting: asyncio.Task[Table] | None = None

    async def get(self, name: str, tag: str) -> None:
        """Answer with the names when they are others than those that the DNS has."""
        self._node = self.node(name).id
        self._waiting = asyncio.ensure_future(self.plane.names.next(self._node, tag, self))
        with contextlib.suppress(asyncio.CancelledError):
            table = await self._waiting
            self.answer({"tag": table.tag, "names": table.names})

    def on_connection_close(self) -> None:
        """Called by tornado: the agent is gone."""
        if self._waiting is not None:
            self._waiting.cancel()
            self.plane.names.lost(self._node, self)


class Ready(Handler):
    """GET /ready."""

    def get(self) -> None:
        """Say that the control plane works, and for which era."""
        self.answer({"ready": True, "era": self.plane.era.name, "namespace": self.plane.namespace})


def application(plane: ControlPlane) -> Application:
    """Return the tornado application."""
    paths: list[tuple[str, type[Handler]]] = [
        (r"/apply", Apply),
        (r"/delete", Delete),
        (r"/resources", Resources),
        (r"/services", Services),
        (r"/pods", Pods),
        (r"/in-force", InForce),
        (r"/proxy-status", ProxyStatus),
        (r"/snapshot/([^/]+)", SnapshotOf),
        (r"/proxy-config/([^/]+)/([^/]+)", ProxyConfig),
        (r"/mixer-feed", MixerFeedOf),
        (r"/names/([^/]+)/([^/]+)", Names),
        (r"/tap", Tap),
        (r"/drain", Drain),
        (r"/ready", Ready),
        *citadel_api.PATHS,
    ]
    return Application(
        [(path, handler, {"plane": plane}) for path, handler in paths], log_function=_quiet
    )


def _quiet(handler: RequestHandler) -> None:
    """Write no access log: the API is local."""
