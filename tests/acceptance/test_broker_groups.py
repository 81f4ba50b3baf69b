"""Consumer groups of real processes: joining, leaving, dying, and coming back as a static member."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broker_clients import PATIENCE, Client, Record
from broker_wire import Wire, schema
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from kio.schema.errors import ErrorCode

OFFSET_COMMIT, FIND_COORDINATOR = 8, 10


class Member:
    """A member process and what it has said so far."""

    def __init__(self, client: str, bootstrap_servers: str, group: str, topic: str, instance: str = "") -> None:
        command = [sys.executable, str(Path(__file__).with_name("group_member.py")), "--client", client]
        command += ["--bootstrap", bootstrap_servers, "--group", group, "--topic", topic, "--instance", instance]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said: list[dict[str, Any]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(json.loads(line))

    def assignments(self) -> list[list[int]]:
        return [each["assigned"] for each in list(self.said) if "assigned" in each]

    def partitions(self) -> list[int]:
        """Return the partitions the member has now."""
        turns = [each for each in list(self.said) if "assigned" in each or "revoked" in each]
        return turns[-1].get("assigned", []) if turns else []

    def read(self) -> list[tuple[int, int]]:
        return [tuple(place) for each in list(self.said) for place in each.get("read", ())]

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("leave\n")
        self.process.stdin.flush()
        assert self.process.wait(60) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def join(
    client: Client, bootstrap_servers: str, make_topic: Callable[..., str], name: str
) -> Iterator[Callable[..., Member]]:
    """Return a function that starts one more member of the test's group."""
    topic = make_topic(6)
    members: list[Member] = []

    def start(instance: str = "") -> Member:
        members.append(Member(client.kind, bootstrap_servers, name, topic, instance))
        return members[-1]

    start.topic = topic  # type: ignore[attr-defined]
    yield start
    for member in members:
        member.kill()


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.05)


def shared_out(*members: Member) -> bool:
    """Whether the members have all six partitions between them, each something."""
    parts = [member.partitions() for member in members]
    return all(parts) and sorted(itertools.chain.from_iterable(parts)) == list(range(6))


def produce(client: Client, topic: str, count: int) -> None:
    for partition in range(6):
        client.produce(topic, [Record(b"x", partition=partition)] * count)


def test_a_killed_member_loses_its_partitions_to_the_others(client: Client, join: Callable[..., Member]) -> None:
    topic = join.topic  # type: ignore[attr-defined]
    stays, dies = join(), join()
    wait(lambda: shared_out(stays, dies), "both have partitions")
    dies.kill()
    wait(lambda: shared_out(stays), "the survivor has all partitions")
    produce(client, topic, 5)
    wait(lambda: len(set(stays.read())) == 30, "the survivor reads everything")


def test_rebalances_lose_and_double_nothing(client: Client, join: Callable[..., Member]) -> None:
    topic = join.topic  # type: ignore[attr-defined]
    rounds, each = 12, 25
    writing = threading.Thread(target=lambda: [(produce(client, topic, each), time.sleep(0.2)) for _ in range(rounds)])
    members = [join()]
    wait(lambda: shared_out(*members), "the first has all")
    writing.start()
    for _ in range(2):
        members.append(join())
        wait(lambda: shared_out(*members), "one more shares")
    members[0].leave()
    wait(lambda: shared_out(*members[1:]), "two share what the third left")
    writing.join()
    expected = {(partition, offset) for partition in range(6) for offset in range(rounds * each)}
    wait(lambda: expected <= {place for member in members for place in member.read()}, "all was read")
    counts = Counter(place for member in members for place in member.read())
    assert {place: count for place, count in counts.items() if count > 1} == {}
    assert set(counts) == expected
    assert not [said for member in members for said in member.said if "commit_failed" in said]


def test_a_static_member_keeps_its_partitions_over_a_restart(join: Callable[..., Member]) -> None:
    first, second = join("one"), join("two")
    wait(lambda: shared_out(first, second), "both have partitions")
    before = first.partitions()
    turns = len(second.assignments())
    first.kill()
    again = join("one")
    wait(lambda: again.partitions() == before, "the static member has its partitions back")
    assert len(second.assignments()) == turns
    assert shared_out(again, second)


def test_groups_are_listed_described_and_deleted(
    admin: AdminClient, client: Client, make_topic: Callable[..., str], name: str, bootstrap_servers: str
) -> None:
    topic = make_topic(2)
    member = Member(client.kind, bootstrap_servers, name, topic)
    try:
        wait(lambda: member.partitions() == [0, 1], "the member has its partitions")
        described = admin.describe_consumer_groups([name])[name].result(30)
        assert described.state.name == "STABLE"
        assert len(described.members) == 1
        assigned = described.members[0].assignment.topic_partitions
        assert sorted(each.partition for each in assigned) == [0, 1]
        listed = admin.list_consumer_groups().result(30).valid
        assert [each.state.name for each in listed if each.group_id == name] == ["STABLE"]
        with pytest.raises(KafkaException) as caught:
            admin.delete_consumer_groups([name])[name].result(30)
        assert caught.value.args[0].code() == ErrorCode.non_empty_group
        member.leave()
    finally:
        member.kill()
    assert admin.describe_consumer_groups([name])[name].result(30).state.name == "EMPTY"
    admin.delete_consumer_groups([name])[name].result(30)
    assert name not in [each.group_id for each in admin.list_consumer_groups().result(30).valid]
    with pytest.raises(KafkaException) as caught:
        admin.delete_consumer_groups([name])[name].result(30)
    assert caught.value.args[0].code() == ErrorCode.group_id_not_found


def test_offsets_of_an_idle_group_are_changed_from_outside(
    admin: AdminClient, client: Client, make_topic: Callable[..., str], name: str
) -> None:
    topic = make_topic()
    client.produce(topic, [Record(b"x")] * 5)
    client.read_as_group(name, topic, 5)
    asked = [ConsumerGroupTopicPartitions(name, [TopicPartition(topic, 0, 2)])]
    admin.alter_consumer_group_offsets(asked)[name].result(30)
    asked = [ConsumerGroupTopicPartitions(name, [TopicPartition(topic, 0)])]
    assert admin.list_consumer_group_offsets(asked)[name].result(30).topic_partitions[0].offset == 2
    assert [each.offset for each in client.read_as_group(name, topic, 3)] == [2, 3, 4]


def test_a_commit_of_a_stranger_or_an_old_generation_is_refused(
    bootstrap_servers: str, make_topic: Callable[..., str], name: str
) -> None:
    topic = make_topic()
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": name, "session.timeout.ms": 6000, "log_level": 0}
    )
    try:
        consumer.subscribe([topic])
        wait(lambda: (consumer.poll(0.1), bool(consumer.assignment()))[1], "the member has joined")
        member = consumer.memberid()
        assert _commit(bootstrap_servers, name, topic, "a-stranger", 1) is ErrorCode.unknown_member_id
        assert _commit(bootstrap_servers, name, topic, member, 99) is ErrorCode.illegal_generation
        assert _commit(bootstrap_servers, name, topic, "", -1) is ErrorCode.unknown_member_id
        assert _commit(bootstrap_servers, name, topic, member, 1) is ErrorCode.none
    finally:
        consumer.close()
    assert _commit(bootstrap_servers, name, topic, "", -1) is ErrorCode.none


def _commit(bootstrap_servers: str, group: str, topic: str, member: str, generation: int) -> ErrorCode:
    kind = schema(OFFSET_COMMIT, 7)
    types = __import__(kind.__module__, fromlist=["x"])
    place = types.OffsetCommitRequestPartition(partition_index=0, committed_offset=0, committed_metadata="")
    request = kind(
        group_id=group,
        generation_id_or_member_epoch=generation,
        member_id=member,
        group_instance_id=None,
        topics=(types.OffsetCommitRequestTopic(name=topic, partitions=(place,)),),
    )
    with Wire(bootstrap_servers) as wire:
        return wire.ask(request).topics[0].partitions[0].error_code
