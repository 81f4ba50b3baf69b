"""Restricted topics: every request that names one is refused to users who may not use it."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from easeml.broker import BrokerConfig, wire
from easeml.broker.process import BrokerProcess
from easeml.errors import ConfigurationError, UnavailableError

sys.path.insert(0, str(Path(__file__).parents[2] / "acceptance"))

from broker_wire import Wire, batch, schema

USERS = {"owner": "o", "developer": "d"}
FORBIDDEN = ErrorCode.topic_authorization_failed
SECRET, OPEN = "secret", "open"
NO_TIME = dt.timedelta(0)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    folder = tmp_path_factory.mktemp("access")
    (folder / "users.json").write_text(json.dumps(USERS))
    (folder / "access.json").write_text(json.dumps({SECRET: ["owner"]}))
    rules = ["--sasl-users", str(folder / "users.json"), "--access", str(folder / "access.json")]
    with BrokerProcess(memory=True, arguments=rules) as broker:
        with login(broker, "owner") as wires:
            for name in (SECRET, OPEN):
                assert create(wires, name) is ErrorCode.none
                assert produce(wires, name) is ErrorCode.none
        yield broker


def login(broker: BrokerProcess, user: str) -> Wire:
    wires = Wire(broker.bootstrap_servers)
    wires.ask(schema(wire.SASL_HANDSHAKE, 1)(mechanism="PLAIN"))
    wires.ask(schema(wire.SASL_AUTHENTICATE, 1)(auth_bytes=f"\0{user}\0{USERS[user]}".encode()))
    return wires


def made(key: int, version: int, **fields: Any) -> tuple[Any, Any]:
    """Return a request's type and the module of its parts."""
    kind = schema(key, version)
    return kind, sys.modules[kind.__module__]


def create(wires: Wire, name: str) -> ErrorCode:
    kind, parts = made(wire.CREATE_TOPICS, 2)
    topic = parts.CreatableTopic(name=name, num_partitions=1, replication_factor=1, assignments=(), configs=())
    return wires.ask(kind(topics=(topic,), timeout=dt.timedelta(seconds=5), validate_only=False)).topics[0].error_code


def produce(wires: Wire, name: str) -> ErrorCode:
    kind, parts = made(wire.PRODUCE, 8)
    data = parts.TopicProduceData(
        name=name, partition_data=(parts.PartitionProduceData(index=0, records=batch(b"label")),)
    )
    request = kind(transactional_id=None, acks=-1, timeout=dt.timedelta(seconds=5), topic_data=(data,))
    return wires.ask(request).responses[0].partition_responses[0].error_code


def fetch(wires: Wire, name: str) -> Any:
    kind, parts = made(wire.FETCH, 4)
    part = parts.FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
    topic = parts.FetchTopic(topic=name, partitions=(part,))
    request = kind(replica_id=-1, max_wait=NO_TIME, min_bytes=0, max_bytes=1 << 20, isolation_level=0, topics=(topic,))
    return wires.ask(request).responses[0].partitions[0]


def offset(wires: Wire, name: str) -> Any:
    kind, parts = made(wire.LIST_OFFSETS, 1)
    part = parts.ListOffsetsPartition(partition_index=0, timestamp=-1)
    topic = parts.ListOffsetsTopic(name=name, partitions=(part,))
    return wires.ask(kind(replica_id=-1, topics=(topic,))).topics[0].partitions[0]


def metadata(wires: Wire, *names: str) -> dict[str, ErrorCode]:
    kind, parts = made(wire.METADATA, 4)
    topics = tuple(parts.MetadataRequestTopic(name=name) for name in names) if names else None
    answer = wires.ask(kind(topics=topics, allow_auto_topic_creation=True))
    return {topic.name: topic.error_code for topic in answer.topics}


def test_who_is_named_may_do_everything(broker: BrokerProcess) -> None:
    with login(broker, "owner") as wires:
        assert fetch(wires, SECRET).records
        assert offset(wires, SECRET).offset > 0
        assert metadata(wires) == {SECRET: ErrorCode.none, OPEN: ErrorCode.none}


def test_nobody_else_reads_writes_or_finds_a_restricted_topic(broker: BrokerProcess) -> None:
    with login(broker, "developer") as wires:
        found = fetch(wires, SECRET)
        assert (found.error_code, not found.records, found.high_watermark) == (FORBIDDEN, True, -1)
        assert (offset(wires, SECRET).error_code, offset(wires, SECRET).offset) == (FORBIDDEN, -1)
        assert produce(wires, SECRET) is FORBIDDEN
        assert metadata(wires) == {OPEN: ErrorCode.none}
        assert metadata(wires, SECRET, OPEN) == {SECRET: FORBIDDEN, OPEN: ErrorCode.none}
        assert fetch(wires, OPEN).records
        assert produce(wires, OPEN) is ErrorCode.none


def test_nobody_else_makes_changes_or_deletes_a_restricted_topic(broker: BrokerProcess) -> None:
    with login(broker, "developer") as wires:
        assert create(wires, SECRET) is FORBIDDEN
        kind, parts = made(wire.DELETE_TOPICS, 1)
        assert wires.ask(kind(topic_names=(SECRET,), timeout=NO_TIME)).responses[0].error_code is FORBIDDEN
        kind, parts = made(wire.CREATE_PARTITIONS, 0)
        topic = parts.CreatePartitionsTopic(name=SECRET, count=2, assignments=None)
        assert wires.ask(kind(topics=(topic,), timeout=NO_TIME, validate_only=False)).results[0].error_code is FORBIDDEN
        kind, parts = made(wire.DELETE_RECORDS, 0)
        part = parts.DeleteRecordsPartition(partition_index=0, offset=-1)
        request = kind(topics=(parts.DeleteRecordsTopic(name=SECRET, partitions=(part,)),), timeout=NO_TIME)
        assert wires.ask(request).topics[0].partitions[0].error_code is FORBIDDEN
        kind, parts = made(wire.DESCRIBE_CONFIGS, 1)
        resource = parts.DescribeConfigsResource(resource_type=2, resource_name=SECRET, configuration_keys=None)
        assert wires.ask(kind(resources=(resource,), include_synonyms=False)).results[0].error_code is FORBIDDEN
    with login(broker, "owner") as wires:
        assert fetch(wires, SECRET).records


def test_positions_in_a_restricted_topic_tell_nobody_else_how_much_there_is(broker: BrokerProcess) -> None:
    commit, parts = made(wire.OFFSET_COMMIT, 2)
    part = parts.OffsetCommitRequestPartition(partition_index=0, committed_offset=1, committed_metadata="")
    request = commit(
        group_id="g",
        generation_id_or_member_epoch=-1,
        member_id="",
        retention_time=dt.timedelta(milliseconds=-1),
        topics=(parts.OffsetCommitRequestTopic(name=SECRET, partitions=(part,)),),
    )
    kind, parts = made(wire.OFFSET_FETCH, 2)
    named = kind(group_id="g", topics=(parts.OffsetFetchRequestTopic(name=SECRET, partition_indexes=(0,)),))
    for user, error, position in (("owner", ErrorCode.none, 1), ("developer", FORBIDDEN, -1)):
        with login(broker, user) as wires:
            assert wires.ask(request).topics[0].partitions[0].error_code is error
            known = wires.ask(named).topics[0].partitions[0]
            assert (known.error_code, known.committed_offset) == (error, position)
            assert len(wires.ask(kind(group_id="g", topics=None)).topics) == (user == "owner")


def test_rules_without_logins_are_refused(tmp_path: Path) -> None:
    for users in ({}, {"ada": "a"}):
        with pytest.raises(ConfigurationError, match="log in"):
            BrokerConfig(memory=True, sasl_users=users, restricted_topics={SECRET: ("owner",)})
    (tmp_path / "access.json").write_text('["secret"]')
    with pytest.raises(UnavailableError, match=r"access\.json"):
        BrokerProcess(memory=True, arguments=["--access", str(tmp_path / "access.json")]).start()
