"""``/health`` and ``/metrics`` of a service, on a port of its own."""

from __future__ import annotations

from aiohttp import web

from easeml.errors import ConfigurationError
from easeml.ports import free_port
from easeml.stream.runtime import Runtime


class HealthServer:
    """Answers 200 SERVING or 503 NOT_SERVING with the reasons, positions and lag.

    Parameters
    ----------
    runtime : Runtime
        What is reported on.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._runner: web.AppRunner | None = None
        self.port = 0
        """Port listened on, once started."""

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        ConfigurationError
            When the port is taken.
        """
        settings = self._runtime.settings
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
        reasons = self._runtime.reasons()
        body = {
            "service": self._runtime.service.name,
            "status": "NOT_SERVING" if reasons else "SERVING",
            "reasons": reasons,
            "lag": self._runtime.lag,
            "positions": self._runtime.positions,
        }
        return web.json_response(body, status=503 if reasons else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._runtime.metrics.render(), content_type="text/plain", charset="utf-8")

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
