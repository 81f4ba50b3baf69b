"""No process outlives its supervisor."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask the kernel to terminate this process when its parent dies, however it dies.

    Only Linux offers this; elsewhere a supervisor that is killed hard leaves its children running, and the next
    ``easeml up`` in the same home refuses to start beside them.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died between fork and prctl
        os._exit(1)
