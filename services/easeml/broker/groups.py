"""The group coordinator: a state machine over joins, syncs, heartbeats and leaves, with the clock passed in.

It follows Apache Kafka's classic protocol: an unknown member first gets an id (MEMBER_ID_REQUIRED), a new
group waits briefly for more members, a static member that comes back keeps its assignment without a
rebalance, and a commit is refused while a rebalance completes. Nothing here waits: answers go through
callbacks, and :meth:`Coordinator.tick` does what is due.

Source: KIP-62, KIP-134 (initial delay), KIP-345 (static members), KIP-394 (member id).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any

from kio.schema.errors import ErrorCode

from easeml.broker.members import Group, Joined, JoinReply, JoinRequest, Member, State, Synced, SyncReply

NONE = ErrorCode.none
_LOG = logging.getLogger(__name__)


class Coordinator:
    """All consumer groups of the broker.

    Parameters
    ----------
    clock : callable
        Monotonic seconds.
    initial_delay : float
        Seconds that an empty group waits for more members after the first.
    session_bounds : (float, float)
        Shortest and longest session timeout allowed (seconds).
    save : callable
        Called with a group id and its metadata (None: deleted) whenever that must become durable.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        initial_delay: float = 0.1,
        session_bounds: tuple[float, float] = (6.0, 1800.0),
        save: Callable[[str, dict[str, Any] | None], None] = lambda _group, _kept: None,
    ) -> None:
        self._clock = clock
        self._initial_delay = initial_delay
        self._session_bounds = session_bounds
        self._save = save
        self.groups: dict[str, Group] = {}

    def load(self, group_id: str, kept: dict[str, Any]) -> None:
        """Take over a group as it was saved before a restart; one that does not parse begins without members."""
        try:
            self.groups[group_id] = Group.from_json(group_id, kept, self._clock())
        except (KeyError, TypeError, ValueError) as error:
            _LOG.warning("the members of group %s cannot be read and must join again: %r", group_id, error)
            self.groups[group_id] = Group(group_id)

    def next_deadline(self) -> float | None:
        """Return when :meth:`tick` has something to do, on the coordinator's clock."""
        times: list[float] = []
        for group in self.groups.values():
            if group.deadline is not None:
                times.append(group.deadline)
            times.extend(group.pending.values())
            times.extend(member.expires for member in group.members.values() if not member.is_waiting)
        return min(times, default=None)

    # -- joining -------------------------------------------------------------------------------------------

    def join(self, group_id: str, request: JoinRequest, reply: JoinReply) -> None:
        """Let a member join; ``reply`` is called now or when the rebalance is done."""
        error = self._refusal(group_id, request)
        if error is not NONE:
            reply(Joined(error, request.member_id))
            return
        group = self.groups.setdefault(group_id, Group(group_id))
        if group.members and not self._fits(group, request):
            reply(Joined(ErrorCode.inconsistent_group_protocol, request.member_id))
        elif request.member_id == "":
            self._join_unknown(group, request, reply)
        else:
            self._join_known(group, request, reply)

    def _refusal(self, group_id: str, request: JoinRequest) -> ErrorCode:
        low, high = self._session_bounds
        if not group_id:
            return ErrorCode.invalid_group_id
        if not low <= request.session_timeout <= high:
            return ErrorCode.invalid_session_timeout
        if not request.protocols or not request.protocol_type:
            return ErrorCode.inconsistent_group_protocol
        if group_id not in self.groups and request.member_id:
            return ErrorCode.unknown_member_id
        return NONE

    def _fits(self, group: Group, request: JoinRequest) -> bool:
        others = [
            {name for name, _ in member.protocols}
            for member in group.members.values()
            if member.member_id != request.member_id
            and (member.instance_id is None or member.instance_id != request.instance_id)
        ]
        mine = {name for name, _ in request.protocols}
        return group.protocol_type == request.protocol_type and (not others or bool(mine.intersection(*others)))

    def _join_unknown(self, group: Group, request: JoinRequest, reply: JoinReply) -> None:
        prefix = request.instance_id or request.client_id or "member"
        member_id = f"{prefix}-{uuid.uuid4()}"
        if request.instance_id is not None and request.instance_id in group.static:
            self._replace_static(group, request, member_id, reply)
        elif request.instance_id is None and request.must_know_id:
            group.pending[member_id] = self._clock() + request.session_timeout
            reply(Joined(ErrorCode.member_id_required, member_id))
        else:
            self._add(group, request, member_id, reply)

    def _join_known(self, group: Group, request: JoinRequest, reply: JoinReply) -> None:
        if request.member_id in group.pending:
            self._add(group, request, request.member_id, reply)
            return
        error = self._identity(group, request.member_id, request.instance_id)
        if error is not NONE:
            reply(Joined(error, request.member_id))
            return
        member = group.members[request.member_id]
        member.last_seen = self._clock()
        unchanged = member.protocols == request.protocols
        is_leader = member.member_id == group.leader
        if unchanged and (group.state is State.COMPLETING or (group.state is State.STABLE and not is_leader)):
            reply(group.joined(member))
            return
        self._update(member, request)
        self._await_join(group, member, reply)
        self._rebalance(group)

    def _add(self, group: Group, request: JoinRequest, member_id: str, reply: JoinReply) -> None:
        group.pending.pop(member_id, None)
        member = Member(
            member_id,
            request.instance_id,
            request.client_id,
            request.client_host,
            request.session_timeout,
            request.rebalance_timeout,
            request.protocols,
            self._clock(),
        )
        if not group.members:
            group.protocol_type = request.protocol_type
        group.members[member_id] = member
        if request.instance_id is not None:
            group.static[request.instance_id] = member_id
        group.has_newcomer = True
        self._await_join(group, member, reply)
        self._rebalance(group)

    def _replace_static(self, group: Group, request: JoinRequest, member_id: str, reply: JoinReply) -> None:
        instance = request.instance_id or ""
        old = group.members.pop(group.static[instance])
        old.answer_join(Joined(ErrorCode.fenced_instance_id, old.member_id))
        old.answer_sync(Synced(ErrorCode.fenced_instance_id))
        before = old.metadata(group.protocol)
        member = Member(
            member_id,
            instance,
            request.client_id,
            request.client_host,
            request.session_timeout,
            request.rebalance_timeout,
            request.protocols,
            self._clock(),
            old.assignment,
        )
        group.members[member_id] = member
        group.static[instance] = member_id
        was_leader = group.leader == old.member_id
        if was_leader:
            group.leader = member_id
        if group.state is State.STABLE and before == member.metadata(group.protocol):
            # Naming the old id as the leader keeps a restarted leader from assigning anew (KIP-345).
            leader = old.member_id if was_leader else group.leader
            self._persist(group)
            reply(Joined(NONE, member_id, group.generation, group.protocol, leader))
            return
        self._await_join(group, member, reply)
        self._rebalance(group)

    @staticmethod
    def _update(member: Member, request: JoinRequest) -> None:
        member.protocols = request.protocols
        member.session_timeout = request.session_timeout
        member.rebalance_timeout = request.rebalance_timeout
        member.client_id, member.client_host = request.client_id, request.client_host

    @staticmethod
    def _await_join(group: Group, member: Member, reply: JoinReply) -> None:
        member.answer_join(Joined(ErrorCode.rebalance_in_progress, member.member_id, group.generation))
        member.join_reply = reply

    # -- rebalancing ---------------------------------------------------------------------------------------

    def _rebalance(self, group: Group) -> None:
        now = self._clock()
        if group.state is State.PREPARING:
            self._complete_join_if_all_here(group)
            return
        if group.state is State.COMPLETING:
            for member in group.members.values():
                member.assignment = b""
                if member.sync_reply is not None:
                    member.last_seen = now
                    member.answer_sync(Synced(ErrorCode.rebalance_in_progress))
        group.is_initial_join = group.state is State.EMPTY
        group.state = State.PREPARING
        if group.is_initial_join:
            group.has_newcomer = False
            group.deadline = now + self._initial_delay
        else:
            group.deadline = now + group.rebalance_timeout
            self._complete_join_if_all_here(group)

    def _complete_join_if_all_here(self, group: Group) -> None:
        if group.state is not State.PREPARING or group.is_initial_join or group.pending:
            return
        if all(member.join_reply is not None for member in group.members.values()):
            self._complete_join(group)

    def _complete_join(self, group: Group) -> None:
        group.is_initial_join = False
        late = [m for m in group.members.values() if m.join_reply is None and m.instance_id is None]
        for member in late:
            self._forget(group, member)
        if group.members and all(member.join_reply is None for member in group.members.values()):
            # Only absent static members are left: they have until their session ends.
            group.deadline = self._clock() + group.rebalance_timeout
            return
        group.deadline = None
        group.generation += 1
        if not group.members:
            group.state, group.protocol, group.leader = State.EMPTY, "", ""
            self._persist(group)
            return
        group.protocol = group.elect_protocol()
        leader = group.members.get(group.leader)
        if leader is None or leader.join_reply is None:
            group.leader = next(m.member_id for m in group.members.values() if m.join_reply is not None)
        group.state = State.COMPLETING
        group.deadline = self._clock() + group.rebalance_timeout
        now = self._clock()
        for member in list(group.members.values()):
            if member.join_reply is not None:
                member.last_seen = now
                member.answer_join(group.joined(member))

    def sync(
        self,
        group_id: str,
        generation: int,
        member_id: str,
        instance_id: str | None,
        *,
        assignments: dict[str, bytes],
        reply: SyncReply,
    ) -> None:
        """Let a member ask for its assignment; the leader brings everybody's along."""
        group = self.groups.get(group_id)
        error = self._standing(group, generation, member_id, instance_id)
        if group is None or error is not NONE:
            reply(Synced(error))
            return
        member = group.members[member_id]
        member.last_seen = self._clock()
        if group.state is State.PREPARING:
            reply(Synced(ErrorCode.rebalance_in_progress))
        elif group.state is State.STABLE:
            reply(Synced(NONE, member.assignment))
        else:
            member.answer_sync(Synced(ErrorCode.rebalance_in_progress))
            member.sync_reply = reply
            if member_id == group.leader:
                self._distribute(group, assignments)

    def _distribute(self, group: Group, assignments: dict[str, bytes]) -> None:
        group.state = State.STABLE
        group.deadline = None
        now = self._clock()
        for member in group.members.values():
            member.assignment = assignments.get(member.member_id, b"")
        self._persist(group)
        for member in list(group.members.values()):
            if member.sync_reply is not None:
                member.last_seen = now
                member.answer_sync(Synced(NONE, member.assignment))

    # -- staying and leaving -------------------------------------------------------------------------------

    def heartbeat(self, group_id: str, generation: int, member_id: str, instance_id: str | None) -> ErrorCode:
        """Note that a member lives; tell it to rejoin while the group prepares a rebalance."""
        group = self.groups.get(group_id)
        error = self._standing(group, generation, member_id, instance_id)
        if group is None or error is not NONE:
            return error
        group.members[member_id].last_seen = self._clock()
        return ErrorCode.rebalance_in_progress if group.state is State.PREPARING else NONE

    def leave(self, group_id: str, member_id: str, instance_id: str | None) -> ErrorCode:
        """Remove a member at its own (or, for a static one, an administrator's) wish."""
        group = self.groups.get(group_id)
        if group is None:
            return ErrorCode.unknown_member_id
        if group.pending.pop(member_id, None) is not None:
            self._complete_join_if_all_here(group)
            return NONE
        if instance_id is not None and member_id == "":
            member_id = group.static.get(instance_id, "")
        error = self._identity(group, member_id, instance_id)
        if error is NONE:
            self._remove(group, group.members[member_id])
        return error

    def may_commit(self, group_id: str, generation: int, member_id: str, instance_id: str | None) -> ErrorCode:
        """Say whether offsets of this member and generation may be committed now."""
        group = self.groups.get(group_id)
        if generation < 0 and (group is None or group.state is State.EMPTY):
            return NONE
        if group is None:
            return ErrorCode.illegal_generation
        error = self._standing(group, generation, member_id, instance_id)
        if error is not NONE:
            return error
        if group.state is State.COMPLETING:
            return ErrorCode.rebalance_in_progress
        group.members[member_id].last_seen = self._clock()
        return NONE

    def _identity(self, group: Group, member_id: str, instance_id: str | None) -> ErrorCode:
        if instance_id is not None:
            known = group.static.get(instance_id)
            if known is None:
                return ErrorCode.unknown_member_id
            if known != member_id:
                return ErrorCode.fenced_instance_id
        return NONE if member_id in group.members else ErrorCode.unknown_member_id

    def _standing(self, group: Group | None, generation: int, member_id: str, instance_id: str | None) -> ErrorCode:
        if group is None:
            return ErrorCode.unknown_member_id
        error = self._identity(group, member_id, instance_id)
        if error is NONE and generation != group.generation:
            return ErrorCode.illegal_generation
        return error

    def _forget(self, group: Group, member: Member) -> None:
        del group.members[member.member_id]
        if member.instance_id is not None:
            group.static.pop(member.instance_id, None)
        member.answer_join(Joined(ErrorCode.unknown_member_id, member.member_id))
        member.answer_sync(Synced(ErrorCode.unknown_member_id))

    def _remove(self, group: Group, member: Member) -> None:
        self._forget(group, member)
        self._rebalance(group)

    # -- time and upkeep -----------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do what is due: expire silent members and end rebalances that waited long enough."""
        now = self._clock()
        for group in list(self.groups.values()):
            for member_id in [each for each, expires in group.pending.items() if expires <= now]:
                del group.pending[member_id]
                self._complete_join_if_all_here(group)
            for member in list(group.members.values()):
                if not member.is_waiting and member.expires <= now and member.member_id in group.members:
                    self._remove(group, member)
            if group.deadline is not None and group.deadline <= now:
                self._on_deadline(group)

    def _on_deadline(self, group: Group) -> None:
        if group.state is State.PREPARING:
            if group.is_initial_join and group.has_newcomer:
                # Somebody joined within the delay: more may be coming (KIP-134).
                group.has_newcomer = False
                group.deadline = self._clock() + self._initial_delay
            else:
                self._complete_join(group)
        elif group.state is State.COMPLETING:
            for member in [m for m in group.members.values() if m.sync_reply is None]:
                self._forget(group, member)
            self._rebalance(group)

    def delete(self, group_id: str) -> ErrorCode:
        """Delete an empty group."""
        group = self.groups.get(group_id)
        if group is None:
            return ErrorCode.group_id_not_found
        if group.members or group.state is not State.EMPTY:
            return ErrorCode.non_empty_group
        self._save(group_id, None)
        del self.groups[group_id]
        return NONE

    def ensure(self, group_id: str) -> None:
        """Make sure the group exists, for one that only commits offsets."""
        if group_id not in self.groups:
            self.groups[group_id] = Group(group_id)
            self._persist(self.groups[group_id])

    def _persist(self, group: Group) -> None:
        self._save(group.group_id, group.to_json())
