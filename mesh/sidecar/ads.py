"""The ADS client: how a sidecar learns its configuration.

In a real mesh every Envoy holds one gRPC stream to istiod (aggregated discovery service).  The
sidecar names what it wants, the control plane sends versions; each is acknowledged (ACK) once it
is taken over, or refused (NACK) with the reason while the old one stays in force.  When the control
plane is away, the sidecar goes on with what it has and knocks again and again.
See it with ``meshctl proxy-status``.

The control plane sends only what changed (incremental xDS); after a pause the sidecar says which
versions it has, and gets what is another one by then.

Source: Envoy, "xDS REST and gRPC protocol" (api-docs/xds_protocol), incremental xDS.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random

from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)
from envoy_data_plane.google.rpc import Status
from grpclib.client import Channel, Stream
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from mesh.sidecar.config import CDS, EDS, LDS, RDS, Config
from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.stats import Stats

logger = logging.getLogger(__name__)

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
INVALID_ARGUMENT = 3
FIRST_BACKOFF = 0.05
LAST_BACKOFF = 2.0


class AdsClient:
    """Keeps ``config`` up to date from the control plane at the Unix socket ``path``."""

    def __init__(self, path: str, node: Node, config: Config, stats: Stats, rng: Random) -> None:
        self._path = path
        self._node = node
        self._config = config
        self._stats = stats
        self._rng = rng
        self._connected = False
        stats.add_gauges(lambda: {"control_plane.connected_state": int(self._connected)})

    async def run(self) -> None:
        """Hold the stream until cancelled; reconnect with growing, jittered pauses."""
        backoff = FIRST_BACKOFF
        while True:
            channel = Channel(path=self._path)
            try:
                await self._stream(channel)
            except (OSError, GRPCError, StreamTerminatedError, ProtocolError) as error:
                logger.info("control plane at %s: %s", self._path, error)
            except Exception:
                # Whatever it was, a sidecar without updates is worse than one more try.
                logger.exception("the stream to the control plane at %s broke", self._path)
            finally:
                channel.close()
            if self._connected:
                backoff = FIRST_BACKOFF
            self._connected = False
            await asyncio.sleep(self._rng.uniform(backoff / 2, backoff))
            backoff = min(backoff * 2, LAST_BACKOFF)

    async def _stream(self, channel: Channel) -> None:
        outgoing: asyncio.Queue[DeltaDiscoveryRequest] = asyncio.Queue()
        subscribed: dict[str, set[str]] = {}

        def begin(url: str) -> None:
            """Say which versions are in force, and what is needed by name."""
            names = subscribed[url] = self._config.names(url)
            outgoing.put_nowait(
                DeltaDiscoveryRequest(
                    type_url=url,
                    resource_names_subscribe=sorted(names),
                    initial_resource_versions=dict(self._config.types[url].versions),
                )
            )

        def answer(url: str, nonce: str, error: str) -> None:
            detail = Status(code=INVALID_ARGUMENT, message=error) if error else None
            outgoing.put_nowait(
                DeltaDiscoveryRequest(type_url=url, response_nonce=nonce, error_detail=detail)
            )

        def ask_for_names() -> None:
            for url in (EDS, RDS):
                names = self._config.names(url)
                old = subscribed.get(url)
                if old is None and names:
                    begin(url)
                elif old is not None and names != old:
                    subscribed[url] = names
                    outgoing.put_nowait(
                        DeltaDiscoveryRequest(
                            type_url=url,
                            resource_names_subscribe=sorted(names - old),
                            resource_names_unsubscribe=sorted(old - names),
                        )
                    )

        begin(CDS)
        ask_for_names()
        begin(LDS)
        async with channel.request(
            _METHOD, Cardinality.STREAM_STREAM, DeltaDiscoveryRequest, DeltaDiscoveryResponse
        ) as stream:
            await stream.send_request()
            sender = asyncio.get_running_loop().create_task(self._send(stream, outgoing))
            try:
                async for response in stream:
                    self._connected = True
                    url = response.type_url
                    if url not in subscribed:
                        continue
                    answer(url, response.nonce, await self._take(response))
                    ask_for_names()
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)

    async def _send(
        self,
        stream: Stream[DeltaDiscoveryRequest, DeltaDiscoveryResponse],
        outgoing: asyncio.Queue[DeltaDiscoveryRequest],
    ) -> None:
        """Send what is queued; the first message of a stream says who we are."""
        node: Node | None = self._node
        while True:
            request = await outgoing.get()
            request.node, node = node, None
            await stream.send_message(request)

    async def _take(self, response: DeltaDiscoveryResponse) -> str:
        """Apply ``response``; return why it was refused, or nothing."""
        kind, version = response.type_url.rpartition(".")[2], response.system_version_info
        try:
            await self._config.apply(
                response.type_url, version, response.resources, response.removed_resources
            )
        except ConfigRefusedError as error:
            self._stats.inc(f"xds.{kind}.update_rejected")
            logger.warning("refused %s %s: %s", kind, version, error)
            return str(error)
        except Exception as error:
            # A bug of the sidecar must reach the control plane as a refusal, not end the stream.
            logger.exception("cannot apply %s %s", kind, version)
            return f"internal error of the sidecar: {error!r}"
        self._stats.inc(f"xds.{kind}.update_success")
        return ""
