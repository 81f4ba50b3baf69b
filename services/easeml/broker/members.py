"""What a consumer group is made of: its members, its states and the answers they wait for."""

from __future__ import annotations

import base64
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kio.schema.consumer_protocol_subscription.v0 import ConsumerProtocolSubscription
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader
from kio.serial.errors import SerialError

CONSUMER = "consumer"
"""Protocol type of groups whose members read topics."""
_VERSION_SIZE = 2
_read_subscription = entity_reader(ConsumerProtocolSubscription)


class State(enum.StrEnum):
    """States of a group, named as DescribeGroups reports them."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


@dataclass(frozen=True, slots=True)
class Joined:
    """Answer to a join: the generation, and for the leader everyone's metadata."""

    error: ErrorCode
    member_id: str = ""
    generation: int = -1
    protocol: str = ""
    leader: str = ""
    members: tuple[tuple[str, str | None, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Synced:
    """Answer to a sync: the member's assignment."""

    error: ErrorCode
    assignment: bytes = b""


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """What a member says when it joins."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout: float
    rebalance_timeout: float
    protocol_type: str
    protocols: tuple[tuple[str, bytes], ...]
    must_know_id: bool


JoinReply = Callable[[Joined], None]
SyncReply = Callable[[Synced], None]


@dataclass(slots=True)
class Member:
    """One member. Times are seconds of the coordinator's clock."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout: float
    rebalance_timeout: float
    protocols: tuple[tuple[str, bytes], ...]
    last_seen: float
    assignment: bytes = b""
    join_reply: JoinReply | None = None
    sync_reply: SyncReply | None = None

    @property
    def expires(self) -> float:
        """When the member counts as dead unless it is heard of."""
        return self.last_seen + self.session_timeout

    @property
    def is_waiting(self) -> bool:
        """Whether the member waits for an answer of ours, which keeps it alive."""
        return self.join_reply is not None or self.sync_reply is not None

    def metadata(self, protocol: str) -> bytes:
        """Return what the member said for the chosen protocol."""
        return next((data for name, data in self.protocols if name == protocol), b"")

    def answer_join(self, joined: Joined) -> None:
        """Answer the waiting join, if there is one."""
        reply, self.join_reply = self.join_reply, None
        if reply is not None:
            reply(joined)

    def answer_sync(self, synced: Synced) -> None:
        """Answer the waiting sync, if there is one."""
        reply, self.sync_reply = self.sync_reply, None
        if reply is not None:
            reply(synced)


@dataclass(slots=True)
class Group:
    """One consumer group."""

    group_id: str
    state: State = State.EMPTY
    generation: int = 0
    protocol_type: str = ""
    protocol: str = ""
    leader: str = ""
    members: dict[str, Member] = field(default_factory=dict)
    static: dict[str, str] = field(default_factory=dict)
    pending: dict[str, float] = field(default_factory=dict)
    deadline: float | None = None
    is_initial_join: bool = False
    has_newcomer: bool = False

    @property
    def rebalance_timeout(self) -> float:
        """The longest time that a member asks others to wait for it (seconds)."""
        return max((member.rebalance_timeout for member in self.members.values()), default=0.0)

    def common_protocols(self) -> set[str]:
        """Return the protocols that every member supports."""
        sets = [{name for name, _ in member.protocols} for member in self.members.values()]
        return set.intersection(*sets) if sets else set()

    def elect_protocol(self) -> str:
        """Return the protocol that most members prefer among those all support."""
        common = self.common_protocols()
        votes: dict[str, int] = {}
        for member in self.members.values():
            choice = next(name for name, _ in member.protocols if name in common)
            votes[choice] = votes.get(choice, 0) + 1
        return max(votes, key=lambda name: votes[name])

    def joined(self, member: Member) -> Joined:
        """Return the join answer of the present generation for a member."""
        others: tuple[tuple[str, str | None, bytes], ...] = ()
        if member.member_id == self.leader:
            others = tuple(
                (each.member_id, each.instance_id, each.metadata(self.protocol)) for each in self.members.values()
            )
        return Joined(ErrorCode.none, member.member_id, self.generation, self.protocol, self.leader, others)

    def may_read(self, topic: str) -> bool:
        """Whether a member subscribed to the topic, or to what cannot be told."""
        for member in self.members.values():
            for _, metadata in member.protocols:
                topics = _subscribed(metadata)
                if topics is None or topic in topics:
                    return True
        return False

    def to_json(self) -> dict[str, Any]:
        """Return what must survive a restart of the broker, so that members go on without a rebalance."""
        return {
            "generation": self.generation,
            "protocol_type": self.protocol_type,
            "protocol": self.protocol,
            "leader": self.leader,
            "members": [
                {
                    "member_id": member.member_id,
                    "instance_id": member.instance_id,
                    "client_id": member.client_id,
                    "client_host": member.client_host,
                    "session_timeout": member.session_timeout,
                    "rebalance_timeout": member.rebalance_timeout,
                    "protocols": [[name, _to_text(data)] for name, data in member.protocols],
                    "assignment": _to_text(member.assignment),
                }
                for member in self.members.values()
            ],
        }

    @classmethod
    def from_json(cls, group_id: str, kept: dict[str, Any], now: float) -> Group:
        """Read back :meth:`to_json`, which is left as it is; every member counts as heard of just now."""
        group = cls(group_id, generation=kept["generation"], protocol_type=kept["protocol_type"])
        group.protocol, group.leader = kept["protocol"], kept["leader"]
        for fields in kept["members"]:
            protocols = tuple((name, base64.b64decode(text)) for name, text in fields["protocols"])
            read = {"protocols": protocols, "assignment": base64.b64decode(fields["assignment"])}
            member = Member(**{**fields, **read}, last_seen=now)
            group.members[member.member_id] = member
            if member.instance_id is not None:
                group.static[member.instance_id] = member.member_id
        group.state = State.STABLE if group.members else State.EMPTY
        return group


def _subscribed(metadata: bytes) -> tuple[str, ...] | None:
    try:
        # Later versions add fields behind these.
        subscription, _ = _read_subscription(memoryview(metadata), _VERSION_SIZE)
    except (SerialError, ValueError):
        return None
    return tuple(subscription.topics)


def _to_text(data: bytes) -> str:
    return base64.b64encode(data).decode()
