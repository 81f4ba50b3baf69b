"""The gRPC server of the label service, in the event loop of the kernel."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from easeml.errors import ConfigurationError
from easeml.ids import EventId
from easeml.labels.access import Access, ErrorInterceptor, TokenInterceptor
from easeml.labels.door import make_server
from easeml.labels.service import LabelsService
from easeml.labels.servicer import LabelServicer
from easeml.labels.v1 import labels_pb2, labels_pb2_grpc
from easeml.ports import free_port
from easeml.stream.payloads import Annotation, Payload
from easeml.stream.settings import Settings
from easeml.stream.topics import Topic

log = logging.getLogger(__name__)

SERVICE: str = labels_pb2.DESCRIPTOR.services_by_name["LabelService"].full_name
GRACE_SECONDS = 2.0
MAX_RECEIVED_BYTES = 1_000_000
MAX_CALLS = 1024
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.so_reuseport", 0),  # two servers on one port would share callers at random
    ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
    ("grpc.max_send_message_length", 64 * 2**20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
]


class Publisher(Protocol):
    """What the kernel gives its servers."""

    async def publish(self, topic: Topic, data: Payload, *, id: EventId | None = None) -> None:  # noqa: A002
        """Return when the broker has the event; raises UnavailableError."""


class LabelServer:
    """Serves ``LabelService``, health and reflection.

    Parameters
    ----------
    service : LabelsService
        The service of the same process; only read.
    settings : Settings, optional
        Address, tokens and certificate; None: from the environment.
    clock : callable, optional
        Seconds since 1970 UTC.
    """

    name = "labels"

    def __init__(
        self,
        service: LabelsService,
        settings: Settings | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._settings = settings or Settings.load()
        self._access = Access(self._settings)
        self._clock = clock
        self._health: Any = health.aio.HealthServicer()  # type: ignore[attr-defined]  # missing in its stub
        self._server: Any = None
        self._servicer: LabelServicer | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self.port = 0
        """Port listened on, once started."""

    @property
    def ports(self) -> dict[str, int]:
        """Ports listened on, by name."""
        return {self.name: self.port}

    async def start(self, publisher: Publisher) -> None:
        """Listen.

        Raises
        ------
        ConfigurationError
            When the address or the certificate cannot be used.
        """

        async def publish(topic: Topic, annotation: Annotation, identity: EventId) -> None:
            await publisher.publish(topic, annotation, id=identity)

        servicer = LabelServicer(self._service, publish, self._access, self._clock)
        server: Any = make_server([TokenInterceptor(self._access), ErrorInterceptor()], _OPTIONS, MAX_CALLS)
        labels_pb2_grpc.add_LabelServiceServicer_to_server(servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        self.port = self._listen(server)
        loop = asyncio.get_running_loop()

        def changed(_app: str) -> None:
            loop.call_soon_threadsafe(servicer.ring)

        self._unsubscribe = self._service.subscribe(changed)
        await server.start()
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._server, self._servicer = server, servicer
        log.info("label service listens on %s:%s", self._settings.host, self.port)

    async def stop(self) -> None:
        """Say so to health checks and streams, finish calls in flight, stop listening."""
        if self._server is None or self._servicer is None:
            return
        self._unsubscribe()
        await self._health.enter_graceful_shutdown()
        self._servicer.stop()
        await self._server.stop(GRACE_SECONDS)
        self._server = None

    def _listen(self, server: Any) -> int:
        settings = self._settings
        address = f"{settings.host}:{settings.labels_port or free_port(settings.host)}"
        try:
            if settings.serves_tls:
                return int(server.add_secure_port(address, self._credentials()))
            return int(server.add_insecure_port(address))
        except (RuntimeError, OSError) as error:
            raise ConfigurationError(
                f"The label service cannot listen on {address}: {error}.",
                mend="Set EASEML_LABELS_PORT to a free port (0: any), and check EASEML_HOST and the TLS files.",
            ) from error

    def _credentials(self) -> grpc.ServerCredentials:
        """Return what the server shows; callers without a certificate of the authority do not get past the handshake.

        gRPC writes why one was refused into the log: PEER_DID_NOT_RETURN_A_CERTIFICATE, "certificate has expired" or
        "unable to get local issuer certificate".
        """
        settings = self._settings
        key, certificate = Path(settings.tls_key_file).read_bytes(), Path(settings.tls_certificate).read_bytes()
        authority = Path(settings.tls_ca).read_bytes() if settings.tls_ca else None
        return grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=authority is not None)
