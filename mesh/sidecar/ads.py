"""The ADS client: how a sidecar learns its configuration.

In a real mesh every Envoy holds one gRPC stream to istiod (aggregated discovery service).  The
sidecar names what it wants, the control plane sends versions; each is acknowledged (ACK) once it
is taken over, or refused (NACK) with the reason while the old one stays in force.  When the control
plane is away, the sidecar goes on with what it has and knocks again and again.
See it with ``meshctl proxy-status``.

Source: Envoy, "xDS REST and gRPC protocol" (api-docs/xds_protocol), state of the world.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from random import Random

from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.service.discovery.v3 import (
    DiscoveryRequest,
    DiscoveryResponse,
)
from envoy_data_plane.google.rpc import Status
from grpclib.client import Channel, Stream
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from mesh.sidecar.config import CDS, EDS, LDS, RDS, Config
from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.stats import Stats

logger = logging.getLogger(__name__)

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
INVALID_ARGUMENT = 3
FIRST_BACKOFF = 0.05
LAST_BACKOFF = 2.0


@dataclass(slots=True)
class _Subscription:
    """What one stream has asked for of one type."""

    nonce: str = ""
    names: list[str] = field(default_factory=list)
    open: bool = False


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
        outgoing: asyncio.Queue[DiscoveryRequest] = asyncio.Queue()
        subscriptions = {url: _Subscription() for url in (CDS, EDS, LDS, RDS)}

        def ask(url: str, error: str = "") -> None:
            subscription = subscriptions[url]
            subscription.names = self._config.names(url)
            subscription.open = True
            outgoing.put_nowait(
                DiscoveryRequest(
                    version_info=self._config.types[url].version,
                    resource_names=subscription.names,
                    type_url=url,
                    response_nonce=subscription.nonce,
                    error_detail=Status(code=INVALID_ARGUMENT, message=error) if error else None,
                )
            )

        def ask_for_names() -> None:
            for url in (EDS, RDS):
                names = self._config.names(url)
                if names != subscriptions[url].names:
                    ask(url)

        ask(CDS)
        ask_for_names()
        ask(LDS)
        async with channel.request(
            _METHOD, Cardinality.STREAM_STREAM, DiscoveryRequest, DiscoveryResponse
        ) as stream:
            await stream.send_request()
            sender = asyncio.get_running_loop().create_task(self._send(stream, outgoing))
            try:
                async for response in stream:
                    self._connected = True
                    url = response.type_url
                    if url not in subscriptions:
                        continue
                    error = await self._take(response)
                    subscriptions[url].nonce = response.nonce
                    ask(url, error)
                    ask_for_names()
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)

    async def _send(
        self,
        stream: Stream[DiscoveryRequest, DiscoveryResponse],
        outgoing: asyncio.Queue[DiscoveryRequest],
    ) -> None:
        """Send what is queued; the first message of a stream says who we are."""
        node: Node | None = self._node
        while True:
            request = await outgoing.get()
            request.node, node = node, None
            await stream.send_message(request)

    async def _take(self, response: DiscoveryResponse) -> str:
        """Apply ``response``; return why it was refused, or nothing."""
        kind = response.type_url.rpartition(".")[2]
        try:
            await self._config.apply(
                response.type_url, response.version_info, list(response.resources)
            )
        except ConfigRefusedError as error:
            self._stats.inc(f"xds.{kind}.update_rejected")
            logger.warning("refused %s %s: %s", kind, response.version_info, error)
            return str(error)
        except Exception as error:
            # A bug of the sidecar must reach the control plane as a refusal, not end the stream.
            logger.exception("cannot apply %s %s", kind, response.version_info)
            return f"internal error of the sidecar: {error!r}"
        self._stats.inc(f"xds.{kind}.update_success")
        return ""
