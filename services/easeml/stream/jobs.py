"""Worker processes for CPU-heavy work.

A nursery, forked before any Kafka handle or thread exists, forks the workers, so that one that died, or was ended
because its job took too long, has a successor at any time. A worker that ends has one job at most, which ended it.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any, NoReturn

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from easeml.stream.forking import uncollected
from easeml.stream.items import TooSlowError
from easeml.stream.service import Job

_PARENT_SECONDS = 1.0
_LONGEST_SECONDS = 1e6
"""Longest time that the system waits for in one call: eleven days."""


class WorkerDiedError(Exception):
    """A worker process ended in the middle of a job."""

    def __init__(self) -> None:
        super().__init__("The worker process ended: native code failed, or the system ran out of memory.")


@dataclass(frozen=True, slots=True)
class _Worker:
    """A worker process and the pipe to it, whose other end nobody else holds: it breaks when the process ends."""

    pid: int
    pipe: Connection


class Workers:
    """Processes with one BLAS thread each, begun when they are needed; they keep what their jobs leave in memory.

    Parameters
    ----------
    count : int
        Most processes.
    """

    def __init__(self, count: int) -> None:
        self._nursery, theirs = socket.socketpair()
        self._pid = _forked(_raise_workers, self._nursery, theirs)
        theirs.close()
        self._idle: list[_Worker] = []
        self._open = True
        self._changing = threading.Lock()
        self._threads = ThreadPoolExecutor(count, "job")  # each waits for one worker

    def run(self, job: Job) -> Future[Any]:
        """Return the future of a job: what it returns or raises, TooSlowError or WorkerDiedError."""
        return self._threads.submit(self._run, job)

    def close(self) -> None:
        """End the processes; unfinished jobs are begun again by the next start."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._changing:
            self._open = False
            self._nursery.close()  # it ends all workers, and then itself
        os.waitpid(self._pid, 0)
        self._threads.shutdown(wait=True)
        for worker in self._idle:
            worker.pipe.close()

    def _run(self, job: Job) -> Any:
        request = ForkingPickler.dumps((job.function, job.arguments))
        worker = self._hired()
        try:
            worker.pipe.send_bytes(request)
            if not worker.pipe.poll(min(job.seconds, _LONGEST_SECONDS)):
                # The number is its own until the nursery, asked for another one, looks who has ended.
                os.kill(worker.pid, signal.SIGKILL)
                worker.pipe.close()
                raise TooSlowError(
                    f"The work on this message took longer than {job.seconds:g} s.",
                    mend="Send less at once, or a simpler file; redrive the message if the machine was busy.",
                )
            answer = worker.pipe.recv_bytes()
        except (EOFError, ConnectionError) as error:
            worker.pipe.close()
            raise WorkerDiedError from error
        self._idle.append(worker)
        value, failure, trace = ForkingPickler.loads(answer)
        if failure is None:
            return value
        failure.add_note(f"in a worker process:\n{trace}")
        raise failure

    def _hired(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if not worker.pipe.poll():
                return worker
            worker.pipe.close()  # an idle worker says nothing: it has ended
        ours, theirs = socket.socketpair()
        pipe = Connection(ours.detach())
        try:
            with self._changing, theirs:
                if not self._open:
                    raise EOFError
                socket.send_fds(self._nursery, [b"\0"], [theirs.fileno()])
            return _Worker(int.from_bytes(pipe.recv_bytes()), pipe)
        except (EOFError, ConnectionError) as error:
            pipe.close()
            raise WorkerDiedError from error


# -- in the other processes ------------------------------------------------------------------------------------------


def _forked(function: Callable[..., NoReturn], *arguments: Any) -> int:
    """Run a function in a new process; return its number."""
    with uncollected():
        pid = os.fork()
        if not pid:
            gc.freeze()
    if pid:
        return pid
    try:
        function(*arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)  # nothing of the process that it was forked from may go on here


def _raise_workers(other: socket.socket, nursery: socket.socket) -> NoReturn:
    """Fork a worker for each pipe that comes, until the service is gone, however it went."""
    other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pids: set[int] = set()
    while found := socket.recv_fds(nursery, 1, 1)[1]:
        pids -= {pid for pid in pids if os.waitpid(pid, os.WNOHANG)[0]}
        pids.add(_forked(_work, nursery, found[0]))
        os.close(found[0])
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os._exit(0)


def _work(nursery: socket.socket, number: int) -> NoReturn:
    nursery.close()
    pipe = Connection(number)
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    threadpool_limits(1)
    pipe.send_bytes(os.getpid().to_bytes(8))
    while True:
        try:
            request = pipe.recv_bytes()
        except EOFError:
            os._exit(0)
        pipe.send_bytes(_answer(request))


def _answer(request: bytes) -> memoryview:
    """Return the result of a job, or the exception and where it was raised."""
    try:
        function, arguments = ForkingPickler.loads(request)
        return ForkingPickler.dumps((function(*arguments), None, ""))
    except Exception as error:
        trace = traceback.format_exc()
        try:
            return ForkingPickler.dumps((None, error, trace))
        except Exception:
            return ForkingPickler.dumps((None, RuntimeError(repr(error)), trace))
    except BaseException as error:  # it would end a process that has nothing to do with it
        return ForkingPickler.dumps((None, RuntimeError(f"The job raised {error!r}."), traceback.format_exc()))


def _leave_with(nursery: int) -> None:
    """End this process when the nursery is gone."""
    while os.getppid() == nursery:
        time.sleep(_PARENT_SECONDS)
    os._exit(1)
