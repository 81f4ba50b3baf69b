"""``python -m easeml.supervisor.clock``: the clock, one Tick a second on every partition.

A house has one. A second one would do no harm but double the ticks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time

from easeml.errors import UnavailableError
from easeml.stream import logs
from easeml.stream.health import HealthServer
from easeml.stream.metrics import Metrics
from easeml.stream.payloads import Tick
from easeml.stream.publisher import EventPublisher
from easeml.stream.settings import Settings
from easeml.stream.topics import TICKS
from easeml.supervisor import process
from easeml.supervisor.stack import connected

log = logging.getLogger("easeml.supervisor.clock")  # by this name its lines are calmed, also as a program

NAME = "clock"
PERIOD = 1.0


class Clock:
    """Ticks, and tells whether the last tick came through.

    Parameters
    ----------
    settings : Settings
        Cluster, and where to tell.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(NAME)
        self._publisher = EventPublisher(settings, NAME, timeout=5.0)
        self._sequence = 0
        self._trouble = ["no tick yet"]

    def tick(self) -> None:
        """Publish one tick and wait for the broker. One that is away costs ticks, nothing else."""
        self._sequence += 1
        now = Tick(self._sequence, time.time())
        try:
            for partition in range(self.settings.partitions):
                self._publisher.send(TICKS, now, partition=partition)
            self._publisher.flush()
            self.metrics.outputs.labels(NAME).inc(self.settings.partitions)
            self._trouble = []
        except UnavailableError as error:
            log.warning("%s", error)
            self._trouble = [str(error)]
        self.metrics.serving.labels(NAME).set(not self._trouble)

    def reasons(self) -> list[str]:
        """Return why the last tick did not come through; empty when it did."""
        return self._trouble

    def told(self) -> dict[str, str]:
        """Return who this is."""
        return {"service": NAME}


async def _main(settings: Settings) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # a supervisor stops us itself and ignores Ctrl-C for us
            loop.add_signal_handler(number, stop.set)
    clock = Clock(settings)
    health = HealthServer(clock)
    await health.start()
    due = time.monotonic()
    while not stop.is_set():
        await asyncio.to_thread(clock.tick)
        due = max(due + PERIOD, time.monotonic())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), due - time.monotonic())
    await health.stop()


def run(settings: Settings) -> None:
    """Tick until SIGTERM.

    Raises
    ------
    ConfigurationError
        When ``EASEML_HEALTH_PORT`` cannot be listened on.
    """
    logs.configure(NAME, settings.log_format)
    asyncio.run(_main(settings))


def main() -> None:
    """Run the clock of the cluster that the environment names."""
    process.run(lambda settings: run(connected(settings)))


if __name__ == "__main__":
    main()
