"""Worker processes for CPU-heavy work, forked before any Kafka handle or thread exists."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from easeml.stream.service import Job

_PARENT_SECONDS = 1.0


class Workers:
    """A pool of processes with one BLAS thread each.

    Parameters
    ----------
    count : int
        Number of processes.
    """

    def __init__(self, count: int) -> None:
        self._pool = ProcessPoolExecutor(
            count, multiprocessing.get_context("fork"), initializer=_begin, initargs=(os.getpid(),)
        )
        self._pool.submit(os.getpid).result()  # forks all of them now

    def run(self, job: Job) -> Any:
        """Return the concurrent future of a job."""
        return self._pool.submit(job.function, *job.arguments)

    def close(self) -> None:
        """End the processes; unfinished jobs are begun again by the next start."""
        processes = list(self._pool._processes.values()) if self._pool._processes else []
        for process in processes:
            process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _begin(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threadpool_limits(1)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    """End this process when the service is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    os._exit(1)
