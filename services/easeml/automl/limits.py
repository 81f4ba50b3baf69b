"""What one training may use: CPU seconds, memory, and, against one that sleeps for ever, wall seconds.

Limits hold in the main thread of a process alone, for there signals arrive; that is where worker processes run their
jobs. They nest: an outer limit goes on counting.
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

PATIENCE = 20.0
"""Wall seconds per CPU second after which a training counts as hung: a busy machine makes no model worse."""

_SOON = 1e-3
_STATM = Path("/proc/self/statm")


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise BudgetExhaustedError in the block once it has used this many CPU seconds, or hangs.

    A training that never ends would hold up every app of its partition. No limit: ``math.inf``.
    """
    if not 0 < seconds < math.inf or threading.current_thread() is not threading.main_thread():
        yield
        return
    spent = f"The training used up its {seconds:g} CPU seconds."
    hung = f"The training hangs: {PATIENCE * seconds:g} seconds passed, and its {seconds:g} CPU seconds are not used."
    with (
        _timer(signal.ITIMER_PROF, signal.SIGPROF, seconds, spent, time.process_time),
        _timer(signal.ITIMER_REAL, signal.SIGALRM, PATIENCE * seconds, hung, time.monotonic),
    ):
        yield


@contextmanager
def _timer(which: int, number: int, seconds: float, message: str, clock: Callable[[], float]) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise BudgetExhaustedError(message, mend="Announce a cheaper algorithm, or train on less.")

    started = clock()
    handler = signal.signal(number, stop)
    outer, _ = signal.setitimer(which, seconds)
    try:
        yield
    finally:
        signal.setitimer(which, 0)
        signal.signal(number, handler)
        if outer:
            signal.setitimer(which, max(outer - (clock() - started), _SOON))


@contextmanager
def memory_limit(size: int) -> Iterator[None]:
    """Raise BudgetExhaustedError in the block when it wants this many bytes more than the process holds.

    Where the system tells no data size (other systems than Linux) there is no limit.
    """
    if not _STATM.exists():
        yield
        return
    held = int(_STATM.read_text().split()[5]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = min([held + size, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    except MemoryError as error:
        raise BudgetExhaustedError(
            f"The training wanted more than {size / 2**30:.3g} GiB of memory.",
            mend="Announce a smaller algorithm, or train on less.",
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
