"""Answers that are still to come: a fetch that waits for messages, a join that waits for other members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Make = Callable[[], Any]
"""Makes the response; called once, where a failure concerns nobody but the client that waits."""


class Answer:
    """One answer to come.

    Unlike a future it is delivered by the very call that gives it: a message reaches the reader that waits for it
    without another turn of the event loop.

    Parameters
    ----------
    on_end : callable, optional
        Called once when the answer was given or its client has gone.
    """

    __slots__ = ("_deliver", "_is_open", "_make", "_on_end")

    def __init__(self, on_end: Callable[[], None] | None = None) -> None:
        self._on_end = on_end
        self._deliver: Callable[[Make], None] | None = None
        self._make: Make | None = None
        self._is_open = True

    def give(self, make: Make) -> None:
        """Deliver what ``make`` returns, now or as soon as there is a receiver; only the first call counts."""
        if not self._is_open:
            return
        self._end()
        if self._deliver is None:
            self._make = make
        else:
            self._deliver(make)

    def deliver_to(self, deliver: Callable[[Make], None]) -> None:
        """Name the receiver; it is called at once if the answer is there already."""
        self._deliver = deliver
        if self._make is not None:
            deliver(self._make)

    def drop(self) -> None:
        """Forget the answer: nobody waits for it any more."""
        if self._is_open:
            self._end()

    def _end(self) -> None:
        self._is_open = False
        if self._on_end is not None:
            self._on_end()
