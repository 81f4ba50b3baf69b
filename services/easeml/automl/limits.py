"""What one training may use: CPU seconds and memory; and an end for one that sleeps for ever.

Limits of time hold in the main thread of a process alone, for there signals arrive; that is where worker processes
run their jobs. They nest: an outer limit goes on counting.
"""

from __future__ import annotations

import math
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from easeml.errors import BudgetExhaustedError

CPU_SECONDS = 900.0
"""What a trial may take."""
MEMORY = 2 * 2**30
"""Bytes that a training may take beyond what its process holds: tables of our size need a tenth."""
_IDLE = 1e-3
"""Share of a processor below which a training sleeps: on a busy machine it gets more than that."""
_SOON = 1e-3
_STATM = Path("/proc/self/statm")
_MEND = "Announce a cheaper algorithm, or train on less."


@contextmanager
def cpu_limit(seconds: float, *, asleep: float = 60.0) -> Iterator[None]:
    """Raise BudgetExhaustedError in the block once it has used this many CPU seconds, or has slept long.

    A training that never ends would hold up every app of its partition.

    Parameters
    ----------
    seconds : float
        CPU seconds; ``math.inf``: no limit.
    asleep : float
        Seconds on the wall without computing after which it counts as hung.
    """
    if not 0 < seconds < math.inf or threading.current_thread() is not threading.main_thread():
        yield
        return
    used = time.process_time()

    def spent() -> None:
        raise BudgetExhaustedError(f"The training used up its {seconds:g} CPU seconds.", mend=_MEND)

    def look() -> None:
        nonlocal used
        before, used = used, time.process_time()
        if used - before < _IDLE * asleep:
            raise BudgetExhaustedError(f"The training hangs: it has slept for {asleep:g} seconds.", mend=_MEND)

    with (
        _timer(signal.ITIMER_PROF, signal.SIGPROF, seconds, spent, time.process_time),
        _timer(signal.ITIMER_REAL, signal.SIGALRM, asleep, look, time.monotonic),
    ):
        yield


@contextmanager
def _timer(
    which: int, number: int, seconds: float, rung: Callable[[], None], clock: Callable[[], float]
) -> Iterator[None]:
    """Call ``rung`` in the block every so many seconds; give the timer back as it would be by then."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        rung()

    started = clock()
    handler = signal.signal(number, ring)
    left, interval = signal.setitimer(which, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(which, 0)
        signal.signal(number, handler)
        if left:
            signal.setitimer(which, max(left - (clock() - started), _SOON), interval)


@contextmanager
def memory_limit(size: int) -> Iterator[None]:
    """Raise BudgetExhaustedError in the block when it wants this many bytes more than the process holds.

    Where the system does not tell how much that is (others than Linux) there is no limit.
    """
    if not _STATM.exists():
        yield
        return
    held = int(_STATM.read_text().split()[5]) * resource.getpagesize()
    before = soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bounds = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([held + size, *bounds]), hard))
    try:
        yield
    except MemoryError as error:
        raise BudgetExhaustedError(
            f"The training wanted more than {size / 2**30:.3g} GiB of memory.", mend=_MEND
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
