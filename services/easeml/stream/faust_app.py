"""Everything that touches faust: lifecycle, streams, timers and crash propagation.

faust's own Kafka consumer acknowledges in a ``finally``, loses events between fetcher and agent around rebalances, and
pays about 300 microseconds per message for its bookkeeping; its producer is not idempotent. So this app is booted
without faust's transport: ``inbox`` polls (confluent-kafka, heartbeats in C threads), whatever it fetched travels
through a faust channel to an agent, and the agent feeds the partitions. A crash of the agent or a timer is reported,
crashes the app (``CrashingSupervisor``) and so the process; nothing is ever acknowledged on the way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import faust
import mode
from faust.app.base import BootStrategy

from easeml.stream.messages import Record

Fetched = list[Record]


class _WithoutTransport(BootStrategy):
    """Boots agents and timers, no Kafka clients and no web server."""

    enable_kafka = False
    enable_web = False


class _App(faust.App):
    BootStrategy = _WithoutTransport

    def _create_directories(self) -> None:
        """Leave the disk alone: there are no tables to keep, and the current directory is not ours."""


class FaustApp:
    """A faust app that hands fetched records to a feed and calls timers.

    Parameters
    ----------
    name : str
        App id; the consumer group's name.
    feed : callable
        Receives what was fetched, in order.
    timers : tuple of (float, callable)
        Seconds between calls, and what is called.
    fail : callable
        Called with what crashed the agent or a timer.
    """

    def __init__(
        self,
        name: str,
        feed: Callable[[Fetched], None],
        timers: tuple[tuple[float, Callable[[], Awaitable[None]]], ...],
        fail: Callable[[Exception], None],
    ) -> None:
        self._app: Any = _App(
            name,
            broker="kafka://127.0.0.1:0",  # never dialled: the transport is not booted
            autodiscover=False,
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            stream_wait_empty=False,
            agent_supervisor=mode.CrashingSupervisor,
        )
        self._channel: Any = self._app.channel(value_type=None)

        async def intake(stream: Any) -> None:
            async for fetched in stream.noack():
                try:
                    feed(fetched)
                except Exception as error:
                    fail(error)
                    raise

        self._app.agent(self._channel, name=f"{name}.intake", supervisor_strategy=mode.CrashingSupervisor)(intake)
        for place, (seconds, call) in enumerate(timers):
            self._app.timer(seconds, name=f"{name}.timer{place}")(_timer(call, fail))

    async def start(self) -> None:
        """Start agents and timers."""
        await self._app.start()
        self._app.flow_control.resume()  # otherwise a rebalance of faust's consumer would do so

    async def put(self, fetched: Fetched) -> None:
        """Hand records to the agent's stream."""
        await self._channel.put(fetched)

    async def stop(self) -> None:
        """Stop agents and timers."""
        await self._app.stop()


def _timer(call: Callable[[], Awaitable[None]], fail: Callable[[Exception], None]) -> Callable[[], Awaitable[None]]:
    async def fire() -> None:
        try:
            await call()
        except Exception as error:
            fail(error)
            raise

    return fire
