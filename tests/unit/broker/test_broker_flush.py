"""Syncing to the disk: all that was written is synced in the end, and the logs before the journal."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from broker_batches import START_MS, Clock, config, keys_by_offset, make_batch

from easeml.broker import Broker, BrokerConfig
from easeml.broker.context import Context
from easeml.broker.flush import Flusher
from easeml.broker.log import PartitionLog

BATCH = make_batch([(b"k", b"v")])


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    made = Context(BrokerConfig(data_dir=tmp_path))
    made.topics.create("t", 3, {})
    await Flusher(made.topics, made.journal).run()
    for log in made.topics.logs():
        log.append(BATCH)
    yield made
    made.close()


def on_sync(log: PartitionLog, act: Callable[[], None]) -> list[str]:
    """Let every sync of the log's active segment ``act`` first; return where finished ones are noted."""
    store, done = log.active.store, []
    real = store.sync

    def sync() -> None:
        act()
        real()
        done.append(log.name)

    store.sync = sync  # type: ignore[method-assign]
    return done


def nothing() -> None:
    pass


async def test_a_stop_amid_a_flush_syncs_everything(tmp_path: Path) -> None:
    broker = Broker(BrokerConfig(data_dir=tmp_path, flush_interval_ms=50))
    await broker.start()
    assert broker._context is not None
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go_on.wait(20)

    logs = broker._context.topics.create("x", 3, {}).partitions
    done = [on_sync(log, wait) for log in logs]
    for log in logs:
        log.append(BATCH)
    await asyncio.to_thread(begun.wait, 20)
    stopping = asyncio.ensure_future(broker.stop())
    await asyncio.sleep(0.1)
    go_on.set()
    await stopping
    assert [bool(each) for each in done] == [True, True, True]


async def test_what_could_not_be_synced_is_told_and_tried_again(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = context.topics.logs()
    fails = True

    def fail() -> None:
        if fails:
            raise OSError(5, "Input/output error")

    done = [on_sync(first, fail), on_sync(second, nothing), on_sync(third, nothing)]
    flusher = Flusher(context.topics, context.journal)
    with caplog.at_level(logging.ERROR):
        await flusher.run()
    assert "t-0" in caplog.text
    assert "Input/output error" in caplog.text
    assert [len(each) for each in done] == [0, 1, 1]
    fails = False
    await flusher.run()
    assert [len(each) for each in done] == [1, 1, 1]
    assert not any(log.dirty for log in context.topics.logs())


async def test_what_is_appended_during_a_sync_is_synced_next_time(context: Context) -> None:
    log = next(context.topics.logs())
    done = on_sync(log, lambda: log.append(BATCH) if not done else None)
    flusher = Flusher(context.topics, context.journal)
    for _ in range(3):
        await flusher.run()
    assert len(done) == 2
    assert not log.dirty


@pytest.mark.parametrize("end", ["drop", "remove"])
async def test_a_file_that_goes_during_its_sync_is_no_failure(
    context: Context, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    log = next(context.topics.logs())

    def go() -> None:
        log.drop(log.active) if end == "drop" else log.remove()
        raise OSError(9, "Bad file descriptor")

    on_sync(log, go)
    with caplog.at_level(logging.WARNING):
        await Flusher(context.topics, context.journal).run()
    assert not log.dirty
    assert not caplog.records


async def test_logs_are_synced_before_the_journal_that_speaks_of_them(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for log in context.topics.logs():
        on_sync(log, lambda: order.append("log"))
    monkeypatch.setattr(context.journal, "sync", lambda: order.append("journal"))
    await Flusher(context.topics, context.journal).run()
    assert order == ["log"] * 3 + ["journal"]


async def test_a_journal_that_cannot_be_synced_is_told(
    context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(context.journal, "sync", refuse)
    with caplog.at_level(logging.ERROR):
        await Flusher(context.topics, context.journal).run()
    assert "journal" in caplog.text


def test_a_log_that_a_power_cut_left_before_its_start_goes_on_there(tmp_path: Path) -> None:
    log = PartitionLog("t-0", tmp_path, config(), Clock(START_MS))
    log.append(BATCH)
    log.close()
    for _ in range(2):
        log = PartitionLog("t-0", tmp_path, config(), Clock(START_MS), start_offset=5)
        assert (log.start_offset, log.end_offset) == (5, 5)
        log.close()
    log = PartitionLog("t-0", tmp_path, config(), Clock(START_MS), start_offset=5)
    assert log.append(BATCH).offset == 5
    assert keys_by_offset(log) == {5: b"k"}
    log.close()
