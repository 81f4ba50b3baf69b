"""Garbage with a finalizer that may run in its own process alone, as that of a native handle."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager


class _Handle:
    def __init__(self) -> None:
        self.owner, self.itself = os.getpid(), self

    def __del__(self) -> None:
        if os.getpid() != self.owner:
            os._exit(9)


@contextmanager
def lying_about() -> Iterator[None]:
    """Leave some uncollected until the end."""
    gc.disable()
    try:
        _Handle()
        yield
    finally:
        gc.enable()
