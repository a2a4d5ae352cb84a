"""What a test of the sidecar is built of; the fixture ``kit`` is this module."""

from grpclib.server import Server

from tests.mesh.sidecar.ads_server import CDS, EDS, LDS, RDS, TYPE, Cluster
from tests.mesh.sidecar.envoy_process import both, both_with
from tests.mesh.sidecar.http_peers import Client, echo, upstream
from tests.mesh.sidecar.resources import (
    ROUTER,
    assignment,
    cluster,
    eds_cluster,
    listener,
    route,
    routes,
)
from tests.mesh.sidecar.sidecar_process import Mesh, free_port, running

__all__ = [
    "CDS",
    "EDS",
    "LDS",
    "RDS",
    "ROUTER",
    "TYPE",
    "Client",
    "Cluster",
    "Mesh",
    "Server",
    "assignment",
    "both",
    "both_with",
    "cluster",
    "echo",
    "eds_cluster",
    "free_port",
    "listener",
    "route",
    "routes",
    "running",
    "upstream",
]
