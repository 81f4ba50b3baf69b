"""The heap that forked processes share: a page of it stays shared until somebody writes to it."""

from __future__ import annotations

import ctypes
import gc

_SMALL = range(1016, 23, -16)
"""Bytes of malloc's small blocks, one size for each of its bins; the largest first, for what is left goes to others."""
_AT_ONCE, _ROUNDS = 64, 1000
_FIELDS = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class _Info(ctypes.Structure):
    """``struct mallinfo2`` of glibc's ``malloc.h``."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _FIELDS)


def seal() -> None:
    """Make the heap one that processes can be forked from; call it after the last import.

    Rubbish is collected and the rest frozen, so that no collection writes to it. Then the holes of malloc's heap are
    filled. They are thousands and 1 MB together, but each lies on a page of its own, and a forked process would put its
    first blocks into them: 7 MB of shared memory became its own by making one Kafka producer.
    """
    gc.collect()
    _fill_holes()
    gc.freeze()


def _fill_holes() -> None:
    """Take blocks of each size, for good, until they come from the top of the heap."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return  # another C library, whose heap has another form
    libc.mallinfo2.restype = _Info
    libc.malloc.restype = ctypes.c_void_p
    for size in _SMALL:
        for _ in range(_ROUNDS):
            top = libc.mallinfo2().keepcost
            for _ in range(_AT_ONCE):
                libc.malloc(size)
            if top - libc.mallinfo2().keepcost > size * _AT_ONCE // 2:
                break
