"""The process of the dashboard: it reads, it serves, and it says how it is."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from easeml.dashboard.changes import Changes
from easeml.dashboard.feed import Feed
from easeml.dashboard.house import House
from easeml.dashboard.letters import Letters
from easeml.dashboard.replies import reply
from easeml.dashboard.web import Web
from easeml.errors import ConfigurationError, EaseMLError
from easeml.ports import free_port, is_free
from easeml.stream import logs
from easeml.stream.metrics import Metrics
from easeml.stream.runfiles import read_run_file, write_run_file
from easeml.stream.settings import MISCONFIGURED, Settings

log = logging.getLogger(__name__)

NAME = "dashboard"
PORT = 50153
"""Listened on when it is free, else any free one is: the run file tells. After a restart it is the one before, so that
browsers come back."""
_STOP_SECONDS = 2
_ARENA_MAX, _ARENAS = -8, 2
_MMAP_THRESHOLD, _LARGE = -3, 128 * 1024
_CONNECTIONS = 500


class _Server(uvicorn.Server):
    """A server that leaves signals to the process, which has two of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Dashboard:
    """Runs until it is told to stop.

    Parameters
    ----------
    settings : Settings
        Cluster, address, token and certificate.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._house = House()
        self._letters = Letters()
        self._changes = Changes(secrets.token_hex(4))
        self._metrics = Metrics(NAME)
        self._reasons = ["reading the topics"]
        self._servers: list[tuple[_Server, asyncio.Task[None]]] = []
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop``.

        Raises
        ------
        EaseMLError
            When the topics cannot be read any more, or an address cannot be listened on.
        """
        settings = self._settings
        before = (read_run_file(settings.home, NAME) or {}).get("ports", {}).get(NAME, PORT)
        health_port = await self._serve(self._health(), settings.health_port or free_port(settings.host), tls=False)
        write_run_file(settings.home, NAME, health_port=health_port, ports={}, ready=False)
        feed = Feed(settings, self._house, self._letters, self._changes, self._failed)
        web = Web(settings, self._house, self._letters, self._changes)
        try:
            await self._first(stop, feed.start())
            if stop.is_set():
                return
            port = await self._serve(
                web.application(), _port(settings.host, before), tls=bool(settings.tls_certificate)
            )
            self._reasons.clear()
            write_run_file(settings.home, NAME, health_port=health_port, ports={NAME: port}, ready=True)
            log.info("ready: dashboard on %s:%d", settings.host, port)
            await self._first(stop, asyncio.Event().wait())
        finally:
            self._reasons[:] = ["stopping"]
            web.stop()
            for server, _ in self._servers:
                server.should_exit = True
            await asyncio.gather(feed.stop(), *(task for _, task in self._servers))

    def _failed(self, error: Exception) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    async def _first(self, stop: asyncio.Event, wanted: Any) -> None:
        """Wait for the event wanted or a stop; raise what failed."""
        task, stopped = asyncio.ensure_future(wanted), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([task, stopped, self._failure], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            if self._failure.done():
                self._failure.result()
        finally:
            task.cancel()
            stopped.cancel()

    async def _serve(self, application: ASGIApp, port: int, *, tls: bool) -> int:
        settings = self._settings
        listening = _listen(settings.host, port)
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="off",
            http="h11",
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_STOP_SECONDS,
            ssl_certfile=settings.tls_certificate if tls else None,
            ssl_keyfile=settings.tls_key_file if tls else None,
        )
        try:
            config.load()
        except OSError as error:
            listening.close()
            raise ConfigurationError(
                f"EASEML_TLS_CERTIFICATE or EASEML_TLS_KEY cannot be used: {error}.", mend="Name the files in PEM form."
            ) from error
        server = _Server(config)
        self._servers.append((server, asyncio.create_task(server.serve([listening]))))
        return int(listening.getsockname()[1])

    def _health(self) -> Starlette:
        async def health(_request: Request) -> Response:
            body: dict[str, object] = {
                "service": NAME,
                "status": "NOT_SERVING" if self._reasons else "SERVING",
                "reasons": list(self._reasons),
            }
            return reply(body, 503 if self._reasons else 200)

        async def metrics(_request: Request) -> Response:
            self._metrics.serving.labels(NAME).set(not self._reasons)
            return Response(self._metrics.render(), media_type="text/plain")

        return Starlette(routes=[Route("/health", health), Route("/metrics", metrics)])


def _port(host: str, wanted: int) -> int:
    return wanted if is_free(host, wanted) else free_port(host)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"The dashboard cannot listen on {host}:{port}: {error}.", mend="Check EASEML_HOST and EASEML_HEALTH_PORT."
        ) from error


async def _run(settings: Settings) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # a supervisor stops us itself and ignores Ctrl-C for us
            loop.add_signal_handler(number, stop.set)
    await Dashboard(settings).run(stop)


def _keep_little_memory() -> None:
    """Let all threads share two heaps, and give arrays back when they are freed.

    By itself glibc gives each thread a heap of its own, and keeps on it ever larger blocks for the next that asks.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_ARENA_MAX, _ARENAS)
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)


def run(settings: Settings) -> None:
    """Run the dashboard until SIGTERM or SIGINT; exit with 1 when it failed, with 2 when a setting is wrong.

    Raises
    ------
    SystemExit
        With either code.
    """
    _keep_little_memory()
    logs.configure(NAME, settings.log_format)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its ordinary life is of no interest
    try:
        if not settings.bootstrap_servers:
            raise ConfigurationError(
                "EASEML_BOOTSTRAP_SERVERS is empty.", mend="Start it with 'easeml up', or name a Kafka cluster."
            )
        asyncio.run(_run(settings))
    except ConfigurationError as error:
        log.error("%s", error)  # noqa: TRY400 - as below
        sys.exit(MISCONFIGURED)
    except EaseMLError as error:
        log.error("%s", error)  # noqa: TRY400 - the text says what to do; a traceback would bury it
        sys.exit(1)
    except Exception:
        log.exception("the dashboard failed")
        sys.exit(1)
