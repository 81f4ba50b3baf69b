"""Handlers of administrators: topics, partitions and configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kio.schema.errors import ErrorCode

from easeml.broker import topic_configs, wire
from easeml.broker.access import FORBIDDEN, find_topic, may_use
from easeml.broker.connection import Connection
from easeml.broker.context import NODE_ID, Context, ContextHandler, stored
from easeml.broker.topics import Topic, is_legal_name
from easeml.broker.wire import NO_TIME, NONE, build

_TOPIC, _BROKER = 2, 4
_SOURCE_TOPIC, _SOURCE_STATIC_BROKER, _SOURCE_DEFAULT = 1, 4, 5
_SET, _DELETE, _APPEND, _SUBTRACT = 0, 1, 2, 3
_MOST_PARTITIONS = 10_000

Problem = tuple[ErrorCode, str | None]
_FINE: Problem = (NONE, None)


def create_topics(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Create topics, or say why not."""
    types = wire.response_types(wire.CREATE_TOPICS, version)
    results = []
    for wanted in body.topics:
        error, message = FORBIDDEN, None
        if may_use(context, connection, wanted.name):
            error, message = _create(context, wanted, validate_only=body.validate_only)
        results.append(build(types.CreatableTopicResult, name=wanted.name, error_code=error, error_message=message))
    return build(types.CreateTopicsResponse, throttle_time=NO_TIME, topics=tuple(results))


def delete_topics(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Delete topics with their data and the groups' positions in them."""
    types = wire.response_types(wire.DELETE_TOPICS, version)
    results = []
    for name in body.topic_names:
        topic, error = find_topic(context, connection, name)
        if topic is not None:
            error = stored(context.topics.delete, topic)
            if error is NONE:
                error = stored(context.offsets.forget_topic, name)
        results.append(build(types.DeletableTopicResult, name=name, error_code=error))
    return build(types.DeleteTopicsResponse, throttle_time=NO_TIME, responses=tuple(results))


def create_partitions(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Grow topics."""
    types = wire.response_types(wire.CREATE_PARTITIONS, version)
    results = []
    for wanted in body.topics:
        error, message = _grow(context, connection, wanted, validate_only=body.validate_only)
        results.append(types.CreatePartitionsTopicResult(name=wanted.name, error_code=error, error_message=message))
    return types.CreatePartitionsResponse(throttle_time=NO_TIME, results=tuple(results))


def describe_configs(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Tell the settings of topics and of the broker."""
    types = wire.response_types(wire.DESCRIBE_CONFIGS, version)
    results = tuple(_described(context, connection, types, each) for each in body.resources)
    return types.DescribeConfigsResponse(throttle_time=NO_TIME, results=results)


def alter_configs(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Replace all settings of topics."""
    types = wire.response_types(wire.ALTER_CONFIGS, version)
    return _altered(context, connection, types, types.AlterConfigsResponse, body, _replaced)


def incremental_alter_configs(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Set, delete, append to or subtract from single settings."""
    types = wire.response_types(wire.INCREMENTAL_ALTER_CONFIGS, version)
    return _altered(context, connection, types, types.IncrementalAlterConfigsResponse, body, _edited)


def _create(context: Context, wanted: Any, *, validate_only: bool) -> Problem:
    if not is_legal_name(wanted.name):
        return ErrorCode.invalid_topic_exception, f"{wanted.name!r} is not a topic name."
    if wanted.name in context.topics:
        return ErrorCode.topic_already_exists, f"Topic '{wanted.name}' already exists."
    partitions = wanted.num_partitions
    if wanted.assignments:
        partitions = len(wanted.assignments)
        if any(tuple(each.broker_ids) != (NODE_ID,) for each in wanted.assignments):
            return ErrorCode.invalid_replica_assignment, f"The only broker is {NODE_ID}."
    elif wanted.replication_factor not in {-1, 1}:
        return (
            ErrorCode.invalid_replication_factor,
            f"Replication factor {wanted.replication_factor} is larger than 1 available broker.",
        )
    if partitions == -1:
        partitions = context.config.default_partitions
    if not 1 <= partitions <= _MOST_PARTITIONS:
        return ErrorCode.invalid_partitions, f"Partitions must be 1-{_MOST_PARTITIONS}."
    overrides = {each.name: each.value for each in wanted.configs}
    complaint = topic_configs.complaint(overrides)
    if complaint is not None:
        return ErrorCode.invalid_config, complaint
    if not validate_only:
        return _told(stored(context.topics.create, wanted.name, partitions, overrides))
    return _FINE


def _grow(context: Context, connection: Connection, wanted: Any, *, validate_only: bool) -> Problem:
    topic, error = find_topic(context, connection, wanted.name)
    if topic is None:
        return error, None
    present = len(topic.partitions)
    if not present < wanted.count <= _MOST_PARTITIONS:
        return ErrorCode.invalid_partitions, f"The topic has {present} partitions, {wanted.count} is not more."
    if wanted.assignments and any(tuple(each.broker_ids) != (NODE_ID,) for each in wanted.assignments):
        return ErrorCode.invalid_replica_assignment, f"The only broker is {NODE_ID}."
    if not validate_only:
        return _told(stored(context.topics.add_partitions, topic, wanted.count))
    return _FINE


def _told(error: ErrorCode) -> Problem:
    return error, None if error is NONE else "The disk refuses the change."


def _described(context: Context, connection: Connection, types: Any, resource: Any) -> Any:
    error, message = _FINE
    entries: list[tuple[str, str, int, int]] = []
    if resource.resource_type == _TOPIC:
        topic, error = find_topic(context, connection, resource.resource_name)
        if topic is not None:
            entries = _topic_entries(context, topic)
    elif resource.resource_type == _BROKER and resource.resource_name in {"", str(NODE_ID)}:
        entries = [(name, value, _SOURCE_STATIC_BROKER, 2) for name, value in _broker_settings(context).items()]
    else:
        error, message = ErrorCode.invalid_request, "There is no such resource."
    wanted = resource.configuration_keys
    return build(
        types.DescribeConfigsResult,
        error_code=error,
        error_message=message,
        resource_type=resource.resource_type,
        resource_name=resource.resource_name,
        configs=tuple(
            build(
                types.DescribeConfigsResourceResult,
                name=name,
                value=value,
                read_only=resource.resource_type == _BROKER,
                config_source=source,
                is_sensitive=False,
                synonyms=(),
                config_type=kind,
                documentation=None,
            )
            for name, value, source, kind in entries
            if not wanted or name in wanted
        ),
    )


def _topic_entries(context: Context, topic: Topic) -> list[tuple[str, str, int, int]]:
    entries = []
    for name, setting in topic_configs.SETTINGS.items():
        source = _SOURCE_DEFAULT
        if name in topic.overrides:
            source = _SOURCE_TOPIC
        elif name in context.topics.defaults:
            source = _SOURCE_STATIC_BROKER
        entries.append((name, context.topics.value(topic, name), source, setting.kind))
    return entries


def _broker_settings(context: Context) -> dict[str, str]:
    config = context.config
    return {
        "broker.id": str(NODE_ID),
        "auto.create.topics.enable": str(config.auto_create_topics).lower(),
        "num.partitions": str(config.default_partitions),
        "default.replication.factor": "1",
        "socket.request.max.bytes": str(config.max_request_bytes),
        "group.initial.rebalance.delay.ms": str(config.initial_rebalance_delay_ms),
        "group.min.session.timeout.ms": str(config.min_session_timeout_ms),
        "group.max.session.timeout.ms": str(config.max_session_timeout_ms),
    }


def _altered(context: Context, connection: Connection, types: Any, kind: Any, body: Any, change: Any) -> Any:
    responses = []
    for resource in body.resources:
        topic, error = find_topic(context, connection, resource.resource_name)
        message: str | None = None
        if resource.resource_type != _TOPIC:
            error, message = ErrorCode.invalid_request, "Only topics can be configured while the broker runs."
        elif topic is not None:
            overrides = change(context, topic, resource.configs)
            message = topic_configs.complaint(overrides)
            if message is not None:
                error = ErrorCode.invalid_config
            elif not body.validate_only:
                error, message = _told(stored(context.topics.configure, topic, overrides))
        responses.append(
            types.AlterConfigsResourceResponse(
                error_code=error,
                error_message=message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
        )
    return kind(throttle_time=NO_TIME, responses=tuple(responses))


def _replaced(_context: Context, _topic: Topic, configs: Any) -> Mapping[str, str | None]:
    return {each.name: each.value for each in configs}


def _edited(context: Context, topic: Topic, configs: Any) -> Mapping[str, str | None]:
    overrides: dict[str, str | None] = dict(topic.overrides)
    for each in configs:
        if each.config_operation == _DELETE:
            overrides.pop(each.name, None)
            continue
        value = each.value
        if each.config_operation in {_APPEND, _SUBTRACT} and each.name in topic_configs.SETTINGS:
            present = [part for part in context.topics.value(topic, each.name).split(",") if part]
            asked = (value or "").split(",")
            if each.config_operation == _APPEND:
                value = ",".join(present + [part for part in asked if part not in present])
            else:
                value = ",".join(part for part in present if part not in asked)
        overrides[each.name] = value
    return overrides


HANDLERS: dict[int, ContextHandler] = {
    wire.CREATE_TOPICS: create_topics,
    wire.DELETE_TOPICS: delete_topics,
    wire.CREATE_PARTITIONS: create_partitions,
    wire.DESCRIBE_CONFIGS: describe_configs,
    wire.ALTER_CONFIGS: alter_configs,
    wire.INCREMENTAL_ALTER_CONFIGS: incremental_alter_configs,
}
"""Handlers of this module by API key."""
