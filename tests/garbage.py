"""Garbage with a finalizer that may run in its own process alone, as that of a native handle."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Handle:
    def __init__(self) -> None:
        self.owner, self.itself = os.getpid(), self

    def __del__(self) -> None:
        if os.getpid() != self.owner:
            os._exit(9)


_lying = threading.Event()


def _collect() -> None:
    """Collect in a new process as early as Python may: its hooks allocate."""
    if _lying.is_set() and gc.isenabled():
        gc.collect()


os.register_at_fork(after_in_child=_collect)


@contextmanager
def lying_about() -> Iterator[None]:
    """Leave some uncollected until the end, though collection is on."""
    thresholds = gc.get_threshold()
    gc.set_threshold(0)
    _lying.set()
    try:
        _Handle()
        yield
    finally:
        _lying.clear()
        gc.set_threshold(*thresholds)
