"""``/health`` and ``/metrics`` of a process, on a port of its own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any, Protocol

from aiohttp import web

from easeml.errors import ConfigurationError
from easeml.ports import free_port
from easeml.stream.metrics import Metrics
from easeml.stream.settings import Settings


class Reporting(Protocol):
    """What can be asked how it is."""

    settings: Settings
    metrics: Metrics

    def reasons(self) -> list[str]:
        """Return why it is not serving; empty when it is."""

    def told(self) -> Mapping[str, Any]:
        """Return what else it says of itself: its name, and for a service lag and positions."""


class HealthServer:
    """Answers 200 SERVING or 503 NOT_SERVING with the reasons, its version, and what the process says of itself.

    Parameters
    ----------
    reporting : Reporting
        What is reported on.
    """

    def __init__(self, reporting: Reporting) -> None:
        self._reporting = reporting
        self._runner: web.AppRunner | None = None
        # As it was at the start: the files may be of a newer one by now.
        self._version = metadata.version("easeml-streaming")
        self.port = 0
        """Port listened on, once started."""

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        ConfigurationError
            When the port is taken.
        """
        settings = self._reporting.settings
        application = web.Application()
        application.router.add_get("/health", self._health)
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        try:
            port = settings.health_port or free_port(settings.host)
            await web.TCPSite(self._runner, settings.host, port).start()
        except OSError as error:
            await self.stop()
            raise ConfigurationError(
                f"EASEML_HEALTH_PORT: {settings.host}:{settings.health_port} cannot be listened on: {error}.",
                mend="Choose another port or 0.",
            ) from error
        self.port = int(self._runner.addresses[0][1])

    async def _health(self, _request: web.Request) -> web.Response:
        reasons = self._reporting.reasons()
        status = "NOT_SERVING" if reasons else "SERVING"
        body = {"status": status, "reasons": reasons, "version": self._version, **self._reporting.told()}
        return web.json_response(body, status=503 if reasons else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._reporting.metrics.render(), content_type="text/plain", charset="utf-8")

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
