"""Says trouble with the broker, or with a collector of traces, once per outage and minute, not at every attempt."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

MINUTE = 60.0
PAUSE = 5.0
"""Seconds of silence after which the same trouble is a new one; clients try again at least every second or so."""
TALKATIVE = (
    "easeml.kafka",
    "easeml.stream.inbox",
    "easeml.stream.tail",
    "easeml.supervisor.clock",
    "asyncio",
)
"""Loggers that speak at every attempt."""
TRACES = "opentelemetry."
"""Begins the names of loggers that tell, with or without a traceback, that spans are not sent."""

_OUTAGE = re.compile(
    r"connect|brokers are down|_TRANSPORT|transport failure|timed? ?out|Broken pipe|not take a message|socket\.send",
    re.IGNORECASE,
)
_CHANGING = re.compile(r"\d+|0x[0-9a-f]+")


@dataclass(slots=True)
class _Trouble:
    told: float
    seen: float
    silent: int = 0


class Calm(logging.Filter):
    """Lets the first line of each kind of trouble pass, and one a minute while it lasts.

    All lines about a connection that fails are one kind, and so are all about spans that are not sent; other lines are
    of one kind when they differ in numbers only.

    Parameters
    ----------
    clock : callable, optional
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._troubles: dict[str, _Trouble] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written; one that stands for others says how many."""
        traces = record.name.startswith(TRACES)
        if not traces and (record.name not in TALKATIVE or record.exc_info):
            return True
        text = record.getMessage()
        kind = "outage" if _OUTAGE.search(text) else f"{record.name} {_CHANGING.sub('#', text)}"
        kind = TRACES if traces else kind
        now = self._clock()
        self._troubles = {k: t for k, t in self._troubles.items() if now - t.seen < MINUTE}
        trouble = self._troubles.get(kind)
        # A collector is tried every few seconds, with growing pauses.
        if trouble is None or now - trouble.seen > (MINUTE if traces else PAUSE):
            self._troubles[kind] = _Trouble(now, now)
            return True
        trouble.seen = now
        trouble.silent += 1
        if now - trouble.told < MINUTE:
            return False
        record.msg, record.args = f"{text} ({trouble.silent} lines like it in the last minute)", ()
        trouble.told, trouble.silent = now, 0
        return True
