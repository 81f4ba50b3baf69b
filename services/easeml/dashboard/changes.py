"""What has changed, numbered, so that a browser that was away hears what it missed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from easeml.dashboard.house import Change


@dataclass(frozen=True, slots=True)
class News:
    """What a listener is told.

    Parameters
    ----------
    id : str
        Where to go on: the ``Last-Event-ID`` of the next request.
    changes : tuple of Change
        Parts that have changed; empty together with ``reset``.
    reset : bool
        Too much has changed, or under another process: read everything again.
    """

    id: str
    changes: tuple[Change, ...] = ()
    reset: bool = False


class Changes:
    """A journal of changes in which each part appears once, at its last change.

    So it is as long as there are parts, not as there were events, and nobody's last state is lost.

    Parameters
    ----------
    epoch : str
        Tells this process from the one before.
    most : int
        Parts that are remembered; who missed a change of an older one is told to read everything.
    """

    def __init__(self, epoch: str, most: int = 10_000) -> None:
        self._epoch = epoch
        self._most = most
        self._number = 0
        self._forgotten = 0
        self._last: OrderedDict[Change, int] = OrderedDict()
        self._changed = asyncio.Event()

    @property
    def now(self) -> str:
        """Where a listener begins that knows the present state."""
        return f"{self._epoch}-{self._number}"

    def note(self, changes: Iterable[Change]) -> None:
        """Tell all listeners what has changed."""
        found = sorted(changes)
        if not found:
            return
        for change in found:
            self._number += 1
            self._last[change] = self._number
            self._last.move_to_end(change)
        while len(self._last) > self._most:
            _, self._forgotten = self._last.popitem(last=False)
        self.wake()

    def wake(self) -> None:
        """Let all who wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def since(self, last: str) -> News | None:
        """Return what has changed since ``last``, or None when nothing has."""
        epoch, _, number = last.rpartition("-")
        if epoch != self._epoch or not number.isdecimal() or int(number) < self._forgotten:
            return News(self.now, reset=True)
        found = []
        for change in reversed(self._last):
            if self._last[change] <= int(number):
                break
            found.append(change)
        return News(self.now, tuple(reversed(found))) if found else None

    async def wait(self, last: str, seconds: float) -> News | None:
        """Return what has changed since ``last`` as soon as there is anything; None when nothing has in time."""
        news, changed = self.since(last), self._changed
        if news is None:
            try:
                await asyncio.wait_for(changed.wait(), seconds)
            except TimeoutError:
                return None
            news = self.since(last)
        return news
