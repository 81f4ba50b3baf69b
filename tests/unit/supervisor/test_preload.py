"""What is imported before the first fork: a process that is forked afterwards finds all of it done."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import asyncio, inspect, sys, threading
from easeml.supervisor.roster import preload
preload()
before = set(sys.modules), set(inspect.modulesbyfile)
from easeml.stream.faust_app import FaustApp

async def make():
    FaustApp("easeml-later", lambda _: None, (), lambda _: None)

asyncio.run(make())
print(sorted(set(sys.modules) - before[0]), sorted(set(inspect.modulesbyfile) - before[1]), threading.active_count())
"""


def test_a_faust_app_is_made_without_importing_or_looking_at_modules_again():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[] [] 1"
    assert not done.stderr


HEAP = """
import gc, os
from confluent_kafka import Producer
from easeml.supervisor import heap, roster
roster.preload()
heap.seal()

def own():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))

assert gc.get_freeze_count() > 100_000
if os.fork() == 0:
    before = own()
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    print(own() - before, flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells whose a page is")
def test_a_forked_process_goes_on_sharing_memory_when_it_makes_a_kafka_client():
    done = subprocess.run([sys.executable, "-c", HEAP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 4000  # kB; 7,500 where the holes of the heap are left
