"""The journal and what stands on it while the disk is full, torn or damaged."""

from __future__ import annotations

import json
import logging
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from broker_batches import Clock, make_batch
from kio.schema.errors import ErrorCode

from easeml.broker import Broker, BrokerConfig, api_admin, api_cluster, api_data, api_groups, journal
from easeml.broker.__main__ import main
from easeml.broker.context import Context
from easeml.broker.journal import Journal
from easeml.broker.members import JoinRequest, State
from easeml.broker.offsets import Committed
from easeml.broker.topics import Topics

STORAGE = ErrorCode.kafka_storage_error
CONNECTION = SimpleNamespace(user=None, client_id="c", peer_host="")


@contextmanager
def full_disk(room: int = 0) -> Iterator[None]:
    """Let no file grow beyond ``room`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def values(path: Path) -> dict[str, Any]:
    kept = Journal(path)
    found = dict(kept.with_prefix(""))
    kept.close()
    return found


def group(context: Context, name: str = "g") -> tuple[str, int]:
    """Let one member join a group and get its assignment; return its id and generation."""
    joined: list[Any] = []
    request = JoinRequest("", "static", "c", "/h", 10, 10, "consumer", (("range", b"x"),), must_know_id=True)
    context.groups.join(name, request, joined.append)
    context.groups.groups[name].deadline = 0
    context.groups.tick()
    member, generation = joined[-1].member_id, joined[-1].generation
    context.groups.sync(name, generation, member, "static", assignments={member: b"mine"}, reply=joined.append)
    assert joined[-1].assignment == b"mine"
    return member, generation


def test_a_group_survives_restarts_between_which_the_journal_is_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_SLACK", 0)
    context = Context(BrokerConfig(data_dir=tmp_path))
    member, generation = group(context)
    for _ in range(3):
        context.close()
        context = Context(BrokerConfig(data_dir=tmp_path))
        assert context.groups.groups["g"].members[member].assignment == b"mine"
        assert context.groups.heartbeat("g", generation, member, "static") is ErrorCode.none
        for offset in range(20):
            context.journal.put(("rewritten", offset))
    context.close()


@pytest.mark.parametrize("damage", [{"members": 5}, {"members": [{"member_id": "m"}]}, []])
def test_a_group_that_was_damaged_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Any) -> None:
    context = Context(BrokerConfig(data_dir=tmp_path))
    group(context, "good")
    group(context, "bad")
    context.offsets.commit("bad", [("t", 0, Committed(3, -1, ""))])
    kept = context.journal.get("group/bad")
    context.journal.put(("group/bad", kept | damage if isinstance(damage, dict) else damage))
    context.close()
    with caplog.at_level(logging.WARNING):
        context = Context(BrokerConfig(data_dir=tmp_path))
    assert "bad" in caplog.text
    assert context.groups.groups["bad"].state is State.EMPTY
    assert context.groups.groups["good"].state is State.STABLE
    assert context.offsets.fetch("bad", "t", 0).offset == 3
    group(context, "bad")
    context.close()


def test_what_the_disk_refuses_is_neither_remembered_nor_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    kept = Journal(path)
    kept.put(("a", 1))
    before = path.read_bytes()
    with full_disk(len(before) + 10), pytest.raises(OSError, match=r"full|large"):
        kept.put(("topic/x", {"partitions": 1}), ("a", None))
    assert path.read_bytes() == before
    assert dict(kept.with_prefix("")) == {"a": 1}
    kept.put(("topic/y", {"partitions": 1}))
    kept.close()
    assert values(path) == {"a": 1, "topic/y": {"partitions": 1}}


def test_a_full_disk_does_not_keep_the_journal_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_SLACK", 0)
    path = tmp_path / "journal.jsonl"
    lines = b"".join(journal._line("a", turn) for turn in range(5))
    for damage in (b"", b'["a",', b'["b",["c",1]\n'):
        path.write_bytes(lines + damage)
        with full_disk():
            kept = Journal(path)
        assert kept.get("a") == 4
        kept.put(("b", 2))
        kept.close()
        assert values(path) == {"a": 4, "b": 2}
        assert [each.name for each in tmp_path.iterdir()] == ["journal.jsonl"]


def test_a_rewrite_that_fails_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_SLACK", 3)
    kept = Journal(tmp_path / "journal.jsonl")
    real, tried = os.fsync, []

    def refuse(fd: int) -> None:
        tried.append(fd)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    for turn in range(20):
        kept.put(("a", turn))
    assert 1 <= len(tried) <= 6
    monkeypatch.setattr(os, "fsync", real)
    kept.close()
    assert values(tmp_path / "journal.jsonl") == {"a": 19}


def broker_of(tmp_path: Path) -> tuple[Journal, Topics]:
    kept = Journal(tmp_path / "journal.jsonl")
    return kept, Topics(kept, tmp_path / "topics", {}, Clock())


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return a switch: whether the disk takes nothing for the journal."""
    real, refuses = os.write, False

    def write(fd: int, data: bytes) -> int:
        if refuses:
            raise OSError(28, "No space left on device")
        return real(fd, data)

    def switch(to: bool) -> None:
        nonlocal refuses
        refuses = to

    monkeypatch.setattr(os, "write", write)
    return switch


def test_a_topic_that_could_not_be_remembered_is_not_there(tmp_path: Path, refusing: Callable[[bool], None]) -> None:
    kept, topics = broker_of(tmp_path)
    grown = topics.create("grown", 1, {})
    grown.partitions[0].append(make_batch([(b"k", b"v")]))
    refusing(True)
    for change in (
        lambda: topics.create("orders", 2, {}),
        lambda: topics.add_partitions(grown, 3),
        lambda: topics.configure(grown, {"retention.ms": "1"}),
        lambda: topics.delete_records(grown, 0, 1),
        lambda: topics.delete(grown),
    ):
        with pytest.raises(OSError, match="No space"):
            change()
    refusing(False)
    assert "orders" not in topics
    assert [each.name for each in (tmp_path / "topics").iterdir()] == ["grown-0"]
    assert (len(grown.partitions), grown.overrides, grown.partitions[0].start_offset) == (1, {}, 0)
    assert topics.get("grown") is grown
    topics.add_partitions(grown, 2)
    topics.close()
    kept.close()
    kept, topics = broker_of(tmp_path)
    assert [topic.name for topic in topics] == ["grown"]
    assert [log.end_offset for log in topics.logs()] == [1, 0]
    topics.close()
    kept.close()


def test_a_topic_for_which_there_are_too_few_descriptors_leaves_none_open(tmp_path: Path) -> None:
    kept, topics = broker_of(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_before + 20, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            topics.create("wide", 100, {})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert topics.get("wide") is None
    assert kept.get("topic/wide") is None
    assert len(topics.create("wide", 100, {}).partitions) == 100
    topics.close()
    kept.close()


def test_clients_are_told_that_the_disk_refuses(tmp_path: Path, refusing: Callable[[bool], None]) -> None:
    context = Context(BrokerConfig(data_dir=tmp_path, auto_create_topics=True))
    context.topics.create("t", 1, {}).partitions[0].append(make_batch([(b"k", b"v")]))
    context.groups.ensure("g")
    context.offsets.commit("g", [("t", 0, Committed(1, -1, ""))])
    new = SimpleNamespace(
        name="new", num_partitions=1, assignments=(), replication_factor=1, configs=(), count=2, partitions=()
    )
    part = SimpleNamespace(partition_index=0, offset=1, committed_offset=0, committed_metadata="")
    topic = SimpleNamespace(name="t", count=2, assignments=None, partitions=(part,))
    resource_ = SimpleNamespace(resource_type=2, resource_name="t", configs=())
    alter = SimpleNamespace(resources=(resource_,), validate_only=False)
    commit = SimpleNamespace(group_id="g", generation_id_or_member_epoch=-1, member_id="", topics=(topic,))
    asked: list[tuple[Any, Any, int, Callable[[Any], Any]]] = [
        (api_admin.create_topics, SimpleNamespace(topics=(new,), validate_only=False), 4, lambda r: r.topics[0]),
        (api_admin.create_partitions, SimpleNamespace(topics=(topic,), validate_only=False), 0, lambda r: r.results[0]),
        (api_admin.alter_configs, alter, 0, lambda r: r.responses[0]),
        (api_admin.delete_topics, SimpleNamespace(topic_names=("t",)), 1, lambda r: r.responses[0]),
        (api_data.delete_records, SimpleNamespace(topics=(topic,)), 0, lambda r: r.topics[0].partitions[0]),
        (api_groups.offset_commit, commit, 7, lambda r: r.topics[0].partitions[0]),
        (api_groups.offset_delete, SimpleNamespace(group_id="g", topics=(topic,)), 0, lambda r: r),
        (api_groups.delete_groups, SimpleNamespace(groups_names=("g",)), 0, lambda r: r.results[0]),
        (api_cluster.metadata, SimpleNamespace(topics=(new,)), 8, lambda r: r.topics[0]),
        (api_cluster.init_producer_id, SimpleNamespace(transactional_id=None), 0, lambda r: r),
    ]
    refusing(True)
    for handler, body, version, of in asked:
        assert of(handler(context, CONNECTION, body, version)).error_code is STORAGE, handler
    member, generation = group(context, "joined")  # who its members are is no reason to keep them waiting
    assert context.groups.heartbeat("joined", generation, member, "static") is ErrorCode.none
    refusing(False)
    assert context.offsets.fetch("g", "t", 0).offset == 1
    assert [each.name for each in context.topics] == ["t"]
    assert context.topics.log("t", 0).start_offset == 0
    for handler, body, version, of in asked[4:7] + asked[:3]:
        assert of(handler(context, CONNECTION, body, version)).error_code is ErrorCode.none, handler
    context.close()


def test_the_process_takes_as_many_descriptors_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr("easeml.broker.__main__._run", lambda _options: None)
    monkeypatch.setattr("easeml.broker.__main__.asyncio.run", lambda _run: None)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        assert main(["--memory"]) == 0
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_line_that_is_no_pair_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'7\n["a"]\n' + json.dumps(["b", 1]).encode() + b"\n")
    assert values(path) == {"b": 1}


async def test_a_broker_whose_disk_fails_at_the_end_says_so_and_lets_go_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    open_before = len(os.listdir("/proc/self/fd"))
    broker = Broker(BrokerConfig(data_dir=tmp_path))
    await broker.start()
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", refuse)
        with caplog.at_level(logging.ERROR):
            await broker.stop()
    assert "Input/output error" in caplog.text
    assert len(os.listdir("/proc/self/fd")) == open_before
    async with Broker(BrokerConfig(data_dir=tmp_path)):
        pass
