"""What is imported before the first fork: a process that is forked afterwards finds all of it done."""

import subprocess
import sys

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
