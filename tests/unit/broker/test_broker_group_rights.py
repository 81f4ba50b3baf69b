"""Deleting positions and groups: not those of topics one may not use, nor under a member that reads on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from easeml.broker import BrokerConfig, api_groups
from easeml.broker.context import Context
from easeml.broker.members import JoinRequest
from easeml.broker.offsets import Committed

FORBIDDEN = ErrorCode.topic_authorization_failed
OWNER, DEVELOPER = (SimpleNamespace(user=user, client_id="", peer_host="") for user in ("owner", "developer"))


@pytest.fixture
def context() -> Context:
    users = {"owner": "o", "developer": "d"}
    made = Context(BrokerConfig(memory=True, sasl_users=users, restricted_topics={"secret": ("owner",)}))
    for topic in ("secret", "open"):
        made.topics.create(topic, 1, {})
        made.groups.ensure("g")
        made.offsets.commit("g", [(topic, 0, Committed(42, -1, ""))])
    return made


def subscription(*topics: str) -> bytes:
    """Return the metadata of a consumer's JoinGroup, version 1 (no partitions owned)."""
    names = b"".join(len(name).to_bytes(2) + name.encode() for name in topics)
    return b"\0\1" + len(topics).to_bytes(4) + names + b"\xff\xff\xff\xff" + bytes(4)


def join(context: Context, kind: str, metadata: bytes) -> None:
    request = JoinRequest("", "static", "c", "/h", 10, 10, kind, (("range", metadata),), must_know_id=True)
    context.groups.join("g", request, lambda _: None)


def forget(context: Context, connection: Any, *topics: str) -> tuple[ErrorCode, dict[str, ErrorCode]]:
    named = [SimpleNamespace(name=name, partitions=(SimpleNamespace(partition_index=0),)) for name in topics]
    answer = api_groups.offset_delete(context, connection, SimpleNamespace(group_id="g", topics=named), 0)
    return answer.error_code, {topic.name: topic.partitions[0].error_code for topic in answer.topics}


def positions(context: Context) -> dict[str, int]:
    return {topic: position.offset for (topic, _), position in context.offsets.all_of("g").items()}


def test_a_stranger_forgets_no_position_in_a_restricted_topic(context: Context) -> None:
    answer = forget(context, DEVELOPER, "secret", "open")
    assert answer == (ErrorCode.none, {"secret": FORBIDDEN, "open": ErrorCode.none})
    assert positions(context) == {"secret": 42}
    assert forget(context, OWNER, "secret") == (ErrorCode.none, {"secret": ErrorCode.none})
    assert positions(context) == {}


def test_a_stranger_deletes_no_group_that_reads_a_restricted_topic(context: Context) -> None:
    request = SimpleNamespace(groups_names=("g",))
    refused = api_groups.delete_groups(context, DEVELOPER, request, 0).results[0].error_code
    assert refused is ErrorCode.group_authorization_failed
    assert positions(context) == {"secret": 42, "open": 42}
    assert api_groups.delete_groups(context, OWNER, request, 0).results[0].error_code is ErrorCode.none
    assert positions(context) == {}


@pytest.mark.parametrize(
    ("metadata", "refused"), [(subscription("secret"), {"secret"}), (subscription(), set()), (b"x", {"secret", "open"})]
)
def test_positions_under_a_subscribed_member_stay(context: Context, metadata: bytes, refused: set[str]) -> None:
    join(context, "consumer", metadata)
    error, topics = forget(context, OWNER, "secret", "open")
    assert error is ErrorCode.none
    assert {name for name, told in topics.items() if told is ErrorCode.group_subscribed_to_topic} == refused
    assert positions(context).keys() == refused


def test_positions_of_a_group_of_another_kind_stay_while_it_has_members(context: Context) -> None:
    join(context, "connect", b"whatever")
    assert forget(context, OWNER, "open") == (ErrorCode.non_empty_group, {})
    assert positions(context).keys() == {"secret", "open"}
