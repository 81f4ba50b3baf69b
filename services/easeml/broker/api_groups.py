"""Handlers of consumer groups: membership, committed offsets, and what administrators ask about them."""

from __future__ import annotations

import logging
from typing import Any

from kio.schema.errors import ErrorCode

from easeml.broker import wire
from easeml.broker.access import FORBIDDEN, find_log, may_use
from easeml.broker.answers import Answer
from easeml.broker.connection import Connection
from easeml.broker.context import Context, ContextHandler, stored
from easeml.broker.members import CONSUMER, Joined, JoinRequest, State, Synced
from easeml.broker.offsets import NOTHING, Committed
from easeml.broker.wire import NO_TIME, NONE, build

_LOG = logging.getLogger(__name__)
_ID_REQUIRED_SINCE = 4
_LARGEST_METADATA = 4096


def join_group(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Let a member join its group; answered when the rebalance is done."""
    types = wire.response_types(wire.JOIN_GROUP, version)
    request = JoinRequest(
        member_id=body.member_id,
        instance_id=getattr(body, "group_instance_id", None),
        client_id=connection.client_id,
        client_host="/" + connection.peer_host,
        session_timeout=body.session_timeout.total_seconds(),
        rebalance_timeout=body.rebalance_timeout.total_seconds(),
        protocol_type=body.protocol_type,
        protocols=tuple((each.name, each.metadata) for each in body.protocols),
        must_know_id=version >= _ID_REQUIRED_SINCE,
    )
    answer = Answer()

    def reply(joined: Joined) -> None:
        answer.give(lambda: _joined(types, joined))

    context.groups.join(body.group_id, request, reply)
    context.arm_group_timer()
    return answer


def sync_group(context: Context, _connection: Connection, body: Any, version: int) -> Any:
    """Hand a member its assignment; answered when the leader has sent them."""
    types = wire.response_types(wire.SYNC_GROUP, version)
    answer = Answer()

    def reply(synced: Synced) -> None:
        answer.give(
            lambda: build(
                types.SyncGroupResponse,
                throttle_time=NO_TIME,
                error_code=synced.error,
                assignment=synced.assignment,
            )
        )

    assignments = {each.member_id: each.assignment for each in body.assignments}
    instance = getattr(body, "group_instance_id", None)
    context.groups.sync(
        body.group_id,
        body.generation_id,
        body.member_id,
        instance,
        assignments=assignments,
        reply=reply,
    )
    context.arm_group_timer()
    return answer


def heartbeat(context: Context, _connection: Connection, body: Any, version: int) -> Any:
    """Note that a member lives."""
    types = wire.response_types(wire.HEARTBEAT, version)
    instance = getattr(body, "group_instance_id", None)
    error = context.groups.heartbeat(body.group_id, body.generation_id, body.member_id, instance)
    return build(types.HeartbeatResponse, throttle_time=NO_TIME, error_code=error)


def leave_group(context: Context, _connection: Connection, body: Any, version: int) -> Any:
    """Take members out of their group."""
    types = wire.response_types(wire.LEAVE_GROUP, version)
    members = [(each.member_id, each.group_instance_id) for each in getattr(body, "members", ())]
    leaving = members or [(body.member_id, None)]
    errors = [context.groups.leave(body.group_id, *each) for each in leaving]
    context.arm_group_timer()
    return build(
        types.LeaveGroupResponse,
        throttle_time=NO_TIME,
        error_code=NONE if members else errors[0],
        members=tuple(
            types.MemberResponse(member_id=member, group_instance_id=instance, error_code=error)
            for (member, instance), error in zip(members, errors, strict=False)
        ),
    )


def _joined(types: Any, joined: Joined) -> Any:
    return build(
        types.JoinGroupResponse,
        throttle_time=NO_TIME,
        error_code=joined.error,
        generation_id=joined.generation,
        protocol_name=joined.protocol,
        leader=joined.leader,
        member_id=joined.member_id,
        members=tuple(
            build(types.JoinGroupResponseMember, member_id=member, group_instance_id=instance, metadata=data)
            for member, instance, data in joined.members
        ),
    )


def offset_commit(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Store the positions of a group."""
    types = wire.response_types(wire.OFFSET_COMMIT, version)
    refused = context.groups.may_commit(
        body.group_id,
        body.generation_id_or_member_epoch,
        body.member_id,
        getattr(body, "group_instance_id", None),
    )
    errors: dict[str, list[tuple[int, ErrorCode]]] = {topic.name: [] for topic in body.topics}
    positions = []
    for topic in body.topics:
        for part in topic.partitions:
            error = refused if refused is not NONE else _commit_error(context, connection, topic.name, part)
            errors[topic.name].append((part.partition_index, error))
            if error is NONE:
                epoch = getattr(part, "committed_leader_epoch", -1)
                kept = Committed(part.committed_offset, epoch, part.committed_metadata or "")
                positions.append((topic.name, part.partition_index, kept))
    outcome = NONE
    if positions:
        context.groups.ensure(body.group_id)
        outcome = stored(context.offsets.commit, body.group_id, positions)
    topics = tuple(
        types.OffsetCommitResponseTopic(
            name=name,
            partitions=tuple(
                types.OffsetCommitResponsePartition(
                    partition_index=index, error_code=outcome if error is NONE else error
                )
                for index, error in found
            ),
        )
        for name, found in errors.items()
    )
    return build(types.OffsetCommitResponse, throttle_time=NO_TIME, topics=topics)


def offset_fetch(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Tell the positions of a group."""
    types = wire.response_types(wire.OFFSET_FETCH, version)
    wanted: dict[str, list[int]] = {}
    if body.topics is None:
        for name, partition in context.offsets.all_of(body.group_id):
            if may_use(context, connection, name):
                wanted.setdefault(name, []).append(partition)
    else:
        wanted = {topic.name: list(topic.partition_indexes) for topic in body.topics}
    topics = []
    for name, indexes in wanted.items():
        partitions = []
        for index in indexes:
            allowed = may_use(context, connection, name)
            kept = context.offsets.fetch(body.group_id, name, index) if allowed else NOTHING
            partitions.append(
                build(
                    types.OffsetFetchResponsePartition,
                    partition_index=index,
                    committed_offset=kept.offset,
                    committed_leader_epoch=kept.leader_epoch,
                    metadata=kept.metadata,
                    error_code=NONE if allowed else FORBIDDEN,
                )
            )
        topics.append(types.OffsetFetchResponseTopic(name=name, partitions=tuple(partitions)))
    return build(types.OffsetFetchResponse, throttle_time=NO_TIME, topics=tuple(topics), error_code=NONE)


def offset_delete(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Forget positions of a group, but not where its members read on."""
    types = wire.response_types(wire.OFFSET_DELETE, version)
    group = context.groups.groups.get(body.group_id)
    error = NONE
    if group is None:
        error = ErrorCode.group_id_not_found
    elif group.members and group.protocol_type != CONSUMER:
        error = ErrorCode.non_empty_group
    topics = []
    gone = []
    for topic in body.topics:
        refusal = NONE
        if not may_use(context, connection, topic.name):
            refusal = FORBIDDEN
        elif group is not None and group.may_read(topic.name):
            refusal = ErrorCode.group_subscribed_to_topic
        indexes = [part.partition_index for part in topic.partitions]
        gone += [(topic.name, index) for index in indexes if refusal is NONE]
        partitions = tuple(
            types.OffsetDeleteResponsePartition(partition_index=index, error_code=refusal) for index in indexes
        )
        topics.append(types.OffsetDeleteResponseTopic(name=topic.name, partitions=partitions))
    if error is NONE:
        error = stored(context.offsets.forget, body.group_id, gone)
    return types.OffsetDeleteResponse(
        error_code=error, throttle_time=NO_TIME, topics=tuple(topics) if error is NONE else ()
    )


def _commit_error(context: Context, connection: Connection, topic: str, part: Any) -> ErrorCode:
    log, error = find_log(context, connection, topic, part.partition_index)
    if log is None:
        return error
    if len(part.committed_metadata or "") > _LARGEST_METADATA:
        return ErrorCode.offset_metadata_too_large
    return NONE


def list_groups(context: Context, _connection: Connection, body: Any, version: int) -> Any:
    """List the groups, by state if asked."""
    types = wire.response_types(wire.LIST_GROUPS, version)
    wanted = {state.lower() for state in getattr(body, "states_filter", ())}
    listed = tuple(
        build(
            types.ListedGroup,
            group_id=group.group_id,
            protocol_type=group.protocol_type,
            group_state=str(group.state),
        )
        for group in context.groups.groups.values()
        if not wanted or group.state.lower() in wanted
    )
    return build(types.ListGroupsResponse, throttle_time=NO_TIME, error_code=NONE, groups=listed)


def describe_groups(context: Context, _connection: Connection, body: Any, version: int) -> Any:
    """Tell the state and the members of groups."""
    types = wire.response_types(wire.DESCRIBE_GROUPS, version)
    described = tuple(_described(context, types, group_id) for group_id in body.groups)
    return build(types.DescribeGroupsResponse, throttle_time=NO_TIME, groups=described)


def delete_groups(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Delete empty groups and their positions."""
    types = wire.response_types(wire.DELETE_GROUPS, version)
    results = []
    for group_id in body.groups_names:
        error = _deleted(context, connection, group_id)
        results.append(types.DeletableGroupResult(group_id=group_id, error_code=error))
    return types.DeleteGroupsResponse(throttle_time=NO_TIME, results=tuple(results))


def _deleted(context: Context, connection: Connection, group_id: str) -> ErrorCode:
    if not all(may_use(context, connection, topic) for topic, _ in context.offsets.all_of(group_id)):
        return ErrorCode.group_authorization_failed
    try:
        error = context.groups.delete(group_id)
    except OSError:
        _LOG.exception("the disk refused to delete group %s", group_id)
        return ErrorCode.kafka_storage_error
    return error if error is not NONE else stored(context.offsets.forget, group_id)


def _described(context: Context, types: Any, group_id: str) -> Any:
    group = context.groups.groups.get(group_id)
    if group is None:
        return build(
            types.DescribedGroup,
            error_code=NONE,
            group_id=group_id,
            group_state=str(State.DEAD),
            protocol_type="",
            protocol_data="",
            members=(),
        )
    settled = group.state in {State.STABLE, State.COMPLETING}
    return build(
        types.DescribedGroup,
        error_code=NONE,
        group_id=group_id,
        group_state=str(group.state),
        protocol_type=group.protocol_type,
        protocol_data=group.protocol if settled else "",
        members=tuple(
            build(
                types.DescribedGroupMember,
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=member.metadata(group.protocol) if settled else b"",
                member_assignment=member.assignment if group.state is State.STABLE else b"",
            )
            for member in group.members.values()
        ),
    )


HANDLERS: dict[int, ContextHandler] = {
    wire.JOIN_GROUP: join_group,
    wire.SYNC_GROUP: sync_group,
    wire.HEARTBEAT: heartbeat,
    wire.LEAVE_GROUP: leave_group,
    wire.OFFSET_COMMIT: offset_commit,
    wire.OFFSET_FETCH: offset_fetch,
    wire.OFFSET_DELETE: offset_delete,
    wire.LIST_GROUPS: list_groups,
    wire.DESCRIBE_GROUPS: describe_groups,
    wire.DELETE_GROUPS: delete_groups,
}
"""Handlers of this module by API key."""
