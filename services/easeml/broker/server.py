"""The broker as a server: listen, recover, serve, flush and stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Self

from easeml.broker import api_admin, api_cluster, api_data, api_groups, api_sasl, wire
from easeml.broker.cleaner import Cleaner
from easeml.broker.config import BrokerConfig
from easeml.broker.connection import LOGIN_SECONDS, Connection, Handler
from easeml.broker.context import Context, now_ms
from easeml.broker.flush import Flusher
from easeml.errors import ConfigurationError, ConflictError
from easeml.ports import free_port

_LOG = logging.getLogger(__name__)
_HANG_UP_SECONDS = 1.0
_LARGE_ALLOCATION = 8 * 1024 * 1024


class Broker:
    """A single-node Kafka broker inside this event loop.

    Parameters
    ----------
    config : BrokerConfig
        Settings.

    Examples
    --------
    >>> import asyncio
    >>> async def show() -> bool:
    ...     async with Broker(BrokerConfig(memory=True)) as broker:
    ...         return broker.bootstrap_servers.startswith("127.0.0.1:")
    >>> asyncio.run(show())
    True
    """

    def __init__(self, config: BrokerConfig) -> None:
        self._config = config
        self._context: Context | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._all_gone = asyncio.Event()
        self._lock_fd = -1

    @property
    def bootstrap_servers(self) -> str:
        """Address that clients connect to, as ``host:port``; known once started."""
        assert self._context is not None, "The broker has not been started."
        return f"{self._context.host}:{self._context.port}"

    async def start(self) -> None:
        """Recover the data and begin to listen.

        Raises
        ------
        ConflictError
            If another broker uses the data folder.
        ConfigurationError
            If the address cannot be bound or the certificate cannot be read.
        """
        config = self._config
        _steady_malloc()
        self._lock()
        try:
            self._context = context = Context(config)
            tls = _tls_context(config)
            loop = asyncio.get_running_loop()
            handlers = _handlers(context)

            def connect() -> Connection:
                return Connection(
                    handlers,
                    self._connections.add,
                    self._on_close,
                    config.max_request_bytes,
                    needs_login=bool(config.sasl_users),
                )

            try:
                port = config.port or free_port(config.host)
                self._server = await loop.create_server(
                    connect,
                    config.host,
                    port,
                    ssl=tls,
                    ssl_handshake_timeout=None if tls is None else LOGIN_SECONDS,
                    backlog=512,
                )
            except OSError as error:
                raise ConfigurationError(
                    f"The broker cannot listen on {config.host}:{config.port}: {error}.",
                    mend="Give another port, or 0 for a free one.",
                ) from error
        except BaseException:
            await self.stop()
            raise
        bound = self._server.sockets[0].getsockname()
        context.host = config.advertised_host or config.host
        context.port = config.advertised_port or bound[1]
        context.arm_group_timer()
        cleaner = Cleaner(context.topics, context.journal, now_ms)
        flusher = Flusher(context.topics, context.journal)
        self._tasks = [
            loop.create_task(_repeat(config.flush_interval_ms / 1000, flusher.run)),
            loop.create_task(_repeat(config.cleanup_interval_ms / 1000, cleaner.run)),
        ]

    async def stop(self) -> None:
        """Close the listener and all connections, sync the data and release the folder."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        await self._hang_up()
        if self._context is not None:
            await Flusher(self._context.topics, self._context.journal).run()
            self._context.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    async def _hang_up(self) -> None:
        for connection in list(self._connections):
            connection.close()
        if self._connections:
            self._all_gone.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), _HANG_UP_SECONDS)
        for connection in list(self._connections):
            connection.abort()

    def _on_close(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_gone.set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _lock(self) -> None:
        folder = self._config.data_dir
        if self._config.memory or folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._lock_fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock_fd)
            self._lock_fd = -1
            raise ConflictError(
                f"Another broker uses the data folder {folder}.", mend="Stop it or give another folder."
            ) from error


def _steady_malloc() -> None:
    # glibc raises its threshold for separate mappings when such a mapping is freed. Without this, every frame of
    # a megabyte is mapped, faulted in page by page and unmapped again, which costs more than copying it.
    bytearray(_LARGE_ALLOCATION)


def _handlers(context: Context) -> dict[int, Handler]:
    wire.preload()
    return {
        api_key: partial(handler, context)
        for module in (api_cluster, api_data, api_groups, api_admin, api_sasl)
        for api_key, handler in module.HANDLERS.items()
    }


def _tls_context(config: BrokerConfig) -> ssl.SSLContext | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"The certificate {config.tls_cert} or its key {config.tls_key} cannot be read: {error}.",
            mend="Give PEM files that belong together.",
        ) from error
    return context


async def _repeat(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception:  # upkeep must go on for the other partitions and the next time
            _LOG.exception("upkeep failed; it is tried again in %s s", seconds)


async def serve(
    config: BrokerConfig,
    *,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    handle_signals: bool = True,
) -> None:
    """Run a broker until told to stop; made for ``asyncio.run`` in a process of its own.

    Parameters
    ----------
    config : BrokerConfig
        Settings.
    ready : callable, optional
        Called with ``host:port`` once clients can connect.
    stop : asyncio.Event, optional
        Set it to stop the broker.
    handle_signals : bool
        Stop on SIGTERM and SIGINT; only the main thread can. A SIGINT that is ignored stays ignored: whoever started
        this process stops it in its own order.
    """
    stopping = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    if handle_signals:
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, stopping.set)
    async with Broker(config) as broker:
        _LOG.info("broker ready at %s", broker.bootstrap_servers)
        if ready is not None:
            ready(broker.bootstrap_servers)
        await stopping.wait()
