"""Worker processes: what becomes of a job whose worker dies, hangs, or outlives its service."""

import errno
import gc
import math
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from easeml.errors import Poison
from easeml.stream.items import TooSlowError
from easeml.stream.jobs import WorkerDiedError, Workers
from easeml.stream.service import JOB_SECONDS, Job
from garbage import lying_about

SOON = 30.0


@pytest.fixture
def workers():
    made = []

    def make(count=1):
        made.append(Workers(count))
        return made[-1]

    yield make
    for one in made:
        one.close()


def whose(value=None):
    return os.getpid(), value


def die(number):
    os.kill(os.getpid(), number)
    time.sleep(SOON)


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return os.getpid()


def fail(error):
    raise error


def leave():
    sys.exit(3)


def is_main():
    return threading.current_thread() is threading.main_thread()


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH):
            raise
        return False


def gone(pid):
    deadline = time.monotonic() + SOON
    while lives(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return True


def test_a_worker_is_kept_and_runs_jobs_in_its_main_thread(workers):
    pool = workers()
    assert pool.run(Job(is_main, ())).result(SOON)
    pids = {pool.run(Job(whose, ())).result(SOON)[0] for _ in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids
    size = 5_000_000
    assert len(pool.run(Job(whose, (b"x" * size,))).result(SOON)[1]) == size


def test_garbage_of_the_service_is_not_collected_by_its_workers(workers):
    with lying_about():
        pool = workers()
        pool.run(Job(gc.collect, ())).result(SOON)


def test_what_a_job_raises_tells_where(workers):
    pool = workers()
    with pytest.raises(Poison, match="Thirteen") as refused:
        pool.run(Job(fail, (Poison("Thirteen.", reason="thirteen"),))).result(SOON)
    assert refused.value.reason == "thirteen"
    with pytest.raises(EOFError) as failed:
        pool.run(Job(fail, (EOFError("mine"),))).result(SOON)
    assert "in fail" in "".join(failed.value.__notes__)
    with pytest.raises(RuntimeError, match="SystemExit"):
        pool.run(Job(leave, ())).result(SOON)
    with pytest.raises(Exception, match="pickle"):
        pool.run(Job(threading.Lock, ())).result(SOON)
    with pytest.raises(Exception, match="pickle"):
        pool.run(Job(whose, (threading.Lock(),))).result(SOON)
    assert pool.run(Job(whose, (7,))).result(SOON)[1] == 7


def test_a_job_that_takes_too_long_is_given_up_and_the_next_one_is_done(workers):
    pool = workers()
    first, _ = pool.run(Job(whose, ())).result(SOON)
    slow, after = pool.run(Job(time.sleep, (10 * SOON,), seconds=0.2)), pool.run(Job(whose, (8,)))
    with pytest.raises(TooSlowError, match=r"0\.2 s") as late:
        slow.result(SOON)
    assert late.value.reason == "too_slow"
    assert late.value.mend
    second, value = after.result(SOON)
    assert (second != first, value) == (True, 8)
    assert gone(first)


def test_the_wait_for_a_worker_does_not_count(workers):
    pool = workers()
    pool.run(Job(time.sleep, (0.5,)))
    assert pool.run(Job(whose, (9,), seconds=0.4)).result(SOON)[1] == 9


@pytest.mark.parametrize("seconds", [math.inf, 1e12])
def test_a_job_may_take_any_time(workers, seconds):
    assert workers().run(Job(whose, (1,), seconds=seconds)).result(SOON)[1] == 1
    assert Job(whose, ()).seconds == JOB_SECONDS


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_only_the_job_whose_worker_died_failed(workers, tmp_path, number):
    pool = workers(2)
    other = pool.run(Job(wait_for, (str(tmp_path / "go"),)))
    with pytest.raises(WorkerDiedError, match="memory"):
        pool.run(Job(die, (number,))).result(SOON)
    assert pool.run(Job(whose, (3,))).result(SOON)[1] == 3
    (tmp_path / "go").touch()
    assert other.result(SOON) != os.getpid()


def test_a_worker_that_died_without_a_job_is_replaced(workers):
    pool = workers()
    first, _ = pool.run(Job(whose, ())).result(SOON)
    os.kill(first, signal.SIGKILL)
    assert pool._idle[0].pipe.poll(SOON)  # its end is heard: the last of its threads has left
    assert pool.run(Job(whose, ())).result(SOON)[0] != first


def test_close_ends_workers_and_their_jobs():
    pool = Workers(2)
    idle, _ = pool.run(Job(whose, ())).result(SOON)
    jobs = [pool.run(Job(time.sleep, (10 * SOON,))) for _ in range(4)]
    begun = time.monotonic()
    pool.close()
    assert time.monotonic() - begun < SOON
    assert all(job.cancelled() or job.exception(0) for job in jobs)
    assert gone(idle)


def test_workers_leave_with_their_service(tmp_path):
    code = (
        f"import os, sys, time; sys.path[:] = {sys.path!r}\n"
        "from test_jobs import *\n"
        "pool = Workers(2)\n"
        f"busy = pool.run(Job(wait_for, ({str(tmp_path / 'never')!r},)))\n"
        "print(pool.run(Job(whose, ())).result(30)[0], flush=True)\n"
        "print(pool.run(Job(os.getppid, ())).result(30), flush=True)\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as service:
        pids = [int(service.stdout.readline()) for _ in range(2)]
        assert all(map(lives, pids))
        service.kill()
    assert all(map(gone, pids))
