"""Gaps in what was fetched, checked while partitions come and go."""

import asyncio
import threading
from types import SimpleNamespace

import pytest
from kernel_services import Summer, app

from easeml.stream import runtime as runtime_module
from easeml.stream.changelog import Snapshot
from easeml.stream.killpoints import KillPoint
from easeml.stream.lanes import Lanes
from easeml.stream.partition import PartitionProcessor
from easeml.stream.runtime import Runtime
from easeml.stream.settings import Settings
from easeml.stream.topics import ANNOTATIONS, partition_of
from easeml.stream.views import Broadcast

NUMBER = partition_of("churn", 4)
PLACE = (ANNOTATIONS.name, NUMBER)
FIRST = 7


class Look:
    """Stands for the reader of a check: says that the log begins at ``FIRST`` as soon as it may."""

    def __init__(self):
        self.begun, self.go_on, self.ended = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, settings):
        return self

    def first_at(self, place, offset):
        self.begun.set()
        assert self.go_on.wait(30)
        return FIRST

    def close(self):
        self.ended.set()


@pytest.fixture
def look(monkeypatch):
    made = Look()
    monkeypatch.setattr(runtime_module, "BulkReader", made)
    return made


@pytest.fixture
async def runtime(tmp_path):
    settings = Settings(bootstrap_servers="127.0.0.1:1", home=tmp_path)
    made = Runtime(Summer(), settings, instance="gap", workers=None, kill_point=KillPoint("summer", tmp_path, ""))
    made._hosts[NUMBER] = host()
    yield made
    made._hosts.clear()
    await made.stop()


def host():
    broadcast = Broadcast()
    broadcast.apps["churn"] = app()
    processor = PartitionProcessor(Summer(), NUMBER, Settings(), broadcast, Snapshot())

    async def stop():
        pass

    return SimpleNamespace(number=NUMBER, lanes=Lanes(processor, Snapshot()), positions={}, stop=stop)


def expected(runtime):
    return runtime._hosts[NUMBER].lanes.lanes[PLACE[0]].expected


async def finish(look, task):
    look.go_on.set()
    await asyncio.to_thread(look.ended.wait, 30)
    await asyncio.wait([task])
    await asyncio.sleep(0)


async def begin(runtime, look):
    runtime._missing(PLACE, 0)
    await asyncio.to_thread(look.begun.wait, 30)
    return runtime._checks[PLACE]


async def test_a_real_gap_is_passed(runtime, look):
    await finish(look, await begin(runtime, look))
    assert expected(runtime) == FIRST
    assert len(runtime._inbox._orders) == 1
    assert runtime._checks == {}


async def test_a_check_ends_with_the_partitions_it_was_for(runtime, look):
    task = await begin(runtime, look)
    await runtime._retire()
    assert runtime._checks == {}
    runtime._hosts[NUMBER] = host()
    later = asyncio.get_running_loop().create_future()
    runtime._checks[PLACE] = later
    await finish(look, task)
    assert expected(runtime) == 0
    assert not runtime._inbox._orders
    assert runtime._checks == {PLACE: later}
    assert not runtime.failure.done()


async def test_a_check_leaves_another_host_alone(runtime, look):
    task = await begin(runtime, look)
    runtime._hosts[NUMBER] = host()
    await finish(look, task)
    assert expected(runtime) == 0
    assert not runtime._inbox._orders


async def test_a_check_leaves_a_lane_alone_that_went_on(runtime, look):
    task = await begin(runtime, look)
    runtime._hosts[NUMBER].lanes.start_at(PLACE[0], 3)
    await finish(look, task)
    assert expected(runtime) == 3
    assert not runtime._inbox._orders
