"""Forks that leave the garbage of their parent alone: its finalizers, as of native handles, may run there alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep a process that is forked here from collecting garbage, also in the hooks that Python runs after a fork.

    The child calls ``gc.freeze()`` before it collects again.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
