"""The process of a service: logs, worker pool, servers beside it, signals, run file, exit code.

Two environment variables are read here beside the settings. ``EASEML_INSTANCE`` names this instance when several of
one service run on a machine (the default is the host's name). ``EASEML_KILL_POINT`` is for tests of crashes
(``killpoints``).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from easeml.errors import ConfigurationError, EaseMLError
from easeml.stream import killpoints, logs, tracing
from easeml.stream.health import HealthServer
from easeml.stream.items import HandlerCrashError
from easeml.stream.jobs import Workers
from easeml.stream.outbox import Outbox
from easeml.stream.routing import Routes
from easeml.stream.runfiles import write_run_file
from easeml.stream.runtime import Runtime
from easeml.stream.service import Service
from easeml.stream.settings import MISCONFIGURED, Settings

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0


class AsyncServer(Protocol):
    """A server that lives in the event loop of a service."""

    @property
    def ports(self) -> Mapping[str, int]:
        """Ports listened on, by name."""

    async def start(self, publisher: Outbox) -> None:
        """Listen; ``publisher.publish`` returns when the broker has the event."""

    async def stop(self) -> None:
        """Finish the requests under way and close."""


def run(service: Service[Any], settings: Settings | None = None, *, extra: Sequence[AsyncServer] = ()) -> None:
    """Run a service until SIGTERM or SIGINT; exit with 1 when it failed, with 2 when a setting is wrong.

    Parameters
    ----------
    service : Service
        The service.
    settings : Settings, optional
        None: from the environment.
    extra : sequence of AsyncServer
        Servers in the same event loop.

    Raises
    ------
    SystemExit
        With code 1 when the service failed: a supervisor shall restart it. With ``MISCONFIGURED`` when starting again
        would fail again.
    """
    settings = settings or Settings.load()
    logs.configure(service.name, settings.log_format)
    workers = None
    try:
        if not settings.bootstrap_servers:
            raise ConfigurationError(
                "EASEML_BOOTSTRAP_SERVERS is empty.", mend="Start services with 'easeml up', or name a Kafka cluster."
            )
        kill_point = killpoints.KillPoint(service.name, settings.home, os.environ.get(killpoints.VARIABLE, ""))
        if Routes(service).prepared:
            workers = Workers(settings.workers)
        asyncio.run(_main(service, settings, extra, workers, kill_point))
    except ConfigurationError as error:
        log.error("%s", error)  # noqa: TRY400 - as below
        sys.exit(MISCONFIGURED)
    except EaseMLError as error:
        log.error("%s", error)  # noqa: TRY400 - the text says what to do; a traceback would bury it
        sys.exit(1)
    except HandlerCrashError as crash:
        log.error("the handler crashed at %s", crash, exc_info=crash.error)  # noqa: TRY400 - the cause's traceback
        sys.exit(1)
    except Exception:
        log.exception("the service failed")
        sys.exit(1)
    finally:
        if workers is not None:
            workers.close()
        tracing.close()


async def _main(
    service: Service[Any],
    settings: Settings,
    extra: Sequence[AsyncServer],
    workers: Workers | None,
    kill_point: killpoints.KillPoint,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # a supervisor that stops us itself ignores Ctrl-C for us
            loop.add_signal_handler(number, stop.set)
    tracing.started(service.name)  # here, for the workers are forked before there is any thread
    instance = f"{service.name}-{os.environ.get('EASEML_INSTANCE') or socket.gethostname()}"
    runtime = Runtime(service, settings, instance=instance, workers=workers, kill_point=kill_point)
    health = HealthServer(runtime)
    begun: list[AsyncServer] = []
    try:
        await health.start()
        write_run_file(settings.home, service.name, health_port=health.port, ports={}, ready=False)
        await runtime.start()
        await _first(runtime, stop, runtime.ready.wait())
        for server in extra:
            await server.start(runtime.outbox)
            begun.append(server)
        ports = {name: port for server in extra for name, port in server.ports.items()}
        if not stop.is_set():
            write_run_file(settings.home, service.name, health_port=health.port, ports=ports, ready=True)
            log.info("ready: health on port %d%s", health.port, f", {ports}" if ports else "")
        await _first(runtime, stop, asyncio.Event().wait())
    finally:
        try:
            await asyncio.wait_for(_close(runtime, health, begun), STOP_SECONDS)
        except TimeoutError:
            # A client that waits for a broker holds a thread, and a thread would hold the process.
            log.error("did not stop within %.0f s; leaving at once", STOP_SECONDS)  # noqa: TRY400
            os._exit(1)


async def _first(runtime: Runtime, stop: asyncio.Event, wanted: Any) -> None:
    """Wait for the event wanted or a stop; raise what failed."""
    tasks = [asyncio.ensure_future(wanted), asyncio.ensure_future(stop.wait())]
    try:
        await asyncio.wait([*tasks, runtime.failure], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    if runtime.failure.done():
        runtime.failure.result()


async def _close(runtime: Runtime, health: HealthServer, servers: Sequence[AsyncServer]) -> None:
    for server in reversed(servers):
        await server.stop()
    await runtime.stop()
    await health.stop()
