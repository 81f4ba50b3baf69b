"""The clock: one Tick a second on every partition."""

from __future__ import annotations

import logging
import signal
import time

from easeml.errors import UnavailableError
from easeml.stream import logs
from easeml.stream.payloads import Tick
from easeml.stream.publisher import EventPublisher
from easeml.stream.settings import Settings
from easeml.stream.topics import TICKS

log = logging.getLogger(__name__)

PERIOD = 1.0


def run(settings: Settings) -> None:
    """Tick until SIGTERM. A broker that is away for a while costs ticks, nothing else."""
    logs.configure("clock", settings.log_format)
    running = True

    def stop(_signal: int, _frame: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    publisher = EventPublisher(settings, "clock", timeout=5.0)
    sequence = 0
    due = time.monotonic()
    while running:
        sequence += 1
        tick = Tick(sequence, time.time())
        try:
            for partition in range(settings.partitions):
                publisher.send(TICKS, tick, partition=partition)
            publisher.flush()
        except UnavailableError as error:
            log.warning("%s", error)
        due = max(due + PERIOD, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
