import signal
import threading
import time

import numpy as np
import pytest

from easeml.automl.limits import cpu_limit, memory_limit
from easeml.errors import BudgetExhaustedError


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))


def test_computing_is_limited():
    started = time.process_time()
    with pytest.raises(BudgetExhaustedError, match=r"used up its 0.05 CPU seconds"), cpu_limit(0.05):
        burn(60)
    assert time.process_time() - started < 5


def test_sleeping_costs_nothing_until_it_counts_as_hanging():
    with cpu_limit(0.5, asleep=30):
        time.sleep(0.02)
    with pytest.raises(BudgetExhaustedError, match=r"hangs: it has slept for 0.05 seconds"), cpu_limit(30, asleep=0.05):
        time.sleep(60)


def test_a_computing_training_does_not_hang():
    with cpu_limit(30, asleep=0.05):
        burn(0.15)


def test_an_outer_limit_goes_on_counting():
    with pytest.raises(BudgetExhaustedError, match=r"0.1 CPU"), cpu_limit(0.1):
        with cpu_limit(10):
            burn(0.01)
        burn(60)


def test_limits_leave_no_trace():
    handlers = [signal.getsignal(number) for number in (signal.SIGPROF, signal.SIGALRM)]
    with cpu_limit(5), memory_limit(2**30):
        pass
    assert [signal.getsignal(number) for number in (signal.SIGPROF, signal.SIGALRM)] == handlers
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_no_limit_where_no_signal_arrives():
    done = []

    def work():
        with cpu_limit(0.01):
            burn(0.05)
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done
    with cpu_limit(float("inf")):
        pass


def test_memory_is_limited_and_given_back():
    with pytest.raises(BudgetExhaustedError, match=r"more than 0.0625 GiB"), memory_limit(2**26):
        np.empty(2**24)
    assert len(np.empty(2**24)) == 2**24
