"""A function in a process of its own: whatever it does there, its caller goes on.

Limits of CPU time and memory are raised inside, where they say what happened (``limits``). What does not listen, as
native code that never returns, is ended from outside; so is what somebody no longer wants.
"""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import resource
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from easeml.automl.limits import cpu_limit, memory_limit
from easeml.errors import BudgetExhaustedError
from easeml.stream.forking import uncollected

_LOOK_SECONDS = 0.1
_GRACE = 5.0
"""CPU seconds beyond its limit after which a process that does not listen is ended."""
_DEAF = 2.0
"""Times the seconds that it may sleep after which a process that does not listen is ended."""
_WAKE = 0.01
_LEAVE_SECONDS = 0.2
_STAT = Path("/proc")
_MEND = "Announce a cheaper algorithm, or train on less."


class Ended(NamedTuple):
    """How a process ended.

    Parameters
    ----------
    value : Any
        What the function returned; None when it did not.
    cpu_seconds : float
        CPU seconds of the process.
    fault : Exception or None
        Why nothing was returned; None also where it was stopped on demand.
    """

    value: Any
    cpu_seconds: float
    fault: Exception | None = None


def confined(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    *,
    cpu_seconds: float,
    memory: int,
    asleep: float = 60.0,
    stop: Path | None = None,
) -> Ended:
    """Run a function that may do anything.

    Parameters
    ----------
    function : callable
        Called in a forked process, with what the caller has in memory; returns something picklable.
    arguments : tuple
        Its arguments.
    cpu_seconds : float
        CPU seconds it may take.
    memory : int
        Bytes it may take beyond what the caller holds.
    asleep : float
        Seconds on the wall without computing after which it counts as hung.
    stop : Path, optional
        The process is ended as soon as this file exists.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    limits = (cpu_seconds, memory, asleep)
    process = context.Process(target=_run, args=(theirs, ours, os.getpid(), limits, function, arguments), daemon=True)
    before = _spent()
    with uncollected():
        process.start()
    theirs.close()
    assert process.pid is not None
    heard, stopped = _wait(ours, process.pid, asleep, stop)
    value, fault = None, None
    try:
        if heard:
            value, fault = ours.recv()
        elif not stopped:
            fault = BudgetExhaustedError(f"The training hangs: it has slept for {asleep:g} seconds.", mend=_MEND)
    except (EOFError, OSError):
        pass  # how it ended tells more
    finally:
        ours.close()
        if not heard:
            process.kill()
        process.join()
    if heard and process.exitcode:
        fault = BudgetExhaustedError(_obituary(process.exitcode), mend=_MEND)
    return Ended(value, _spent() - before, fault)


def _wait(pipe: Connection, pid: int, asleep: float, stop: Path | None) -> tuple[bool, bool]:
    """Return whether the process said something or ended, and whether it is to be stopped."""
    used, since = _cpu_of(pid), time.monotonic()
    while not pipe.poll(_LOOK_SECONDS):
        if stop is not None and stop.exists():
            return False, True
        now = time.monotonic()
        if _cpu_of(pid) > used + _WAKE or math.isnan(used):
            used, since = _cpu_of(pid), now
        elif now - since > _DEAF * asleep:
            return False, False
    return True, False


def _run(
    pipe: Connection,
    other: Connection,
    parent: int,
    limits: tuple[float, int, float],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    gc.freeze()
    gc.enable()  # it was forked with collection off, and never returns to where that ends
    other.close()
    cpu_seconds, memory, asleep = limits
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    if math.isfinite(cpu_seconds):
        end = math.ceil(cpu_seconds + _GRACE)
        resource.setrlimit(resource.RLIMIT_CPU, (end, end))
    value, fault = None, None
    try:
        with cpu_limit(cpu_seconds, asleep=asleep), memory_limit(memory):
            value = function(*arguments)
    except BudgetExhaustedError as error:
        fault = BudgetExhaustedError(error.message, mend=error.mend)
    pipe.send((value, fault))


def _leave_with(parent: int) -> None:
    """End this process when its caller is gone, however that went."""
    while os.getppid() == parent:
        time.sleep(_LEAVE_SECONDS)
    os._exit(1)


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process so far; NaN where the system does not tell (others than Linux)."""
    try:
        fields = (_STAT / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _obituary(code: int) -> str:
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    return f"The training ended its process {how}: native code failed, or the system ran out of memory."
