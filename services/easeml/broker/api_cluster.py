"""Handlers about the broker itself: versions, metadata, coordinators, producer ids."""

from __future__ import annotations

import logging
from typing import Any

from kio.schema.errors import ErrorCode

from easeml.broker import wire
from easeml.broker.access import FORBIDDEN, find_topic, may_use
from easeml.broker.connection import Connection
from easeml.broker.context import NODE_ID, Context, ContextHandler, stored
from easeml.broker.topics import Topic, is_legal_name
from easeml.broker.wire import NO_TIME, NONE, build

_LOG = logging.getLogger(__name__)
_GROUP_KEY = 0


def api_versions(_context: Context, _connection: Connection, _body: Any, version: int) -> Any:
    """Tell which versions of which APIs are served."""
    # Version -1 marks a version we do not serve: the answer is version 0 with the error and our list.
    types = wire.response_types(wire.API_VERSIONS, max(version, 0))
    served = tuple(
        types.ApiVersion(api_key=key, min_version=low, max_version=high) for key, (low, high) in wire.SERVED.items()
    )
    error = ErrorCode.unsupported_version if version < 0 else NONE
    return build(types.ApiVersionsResponse, error_code=error, api_keys=served, throttle_time=NO_TIME)


def metadata(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Tell the topics, their partitions and who leads them: always us."""
    types = wire.response_types(wire.METADATA, version)
    wanted = body.topics
    if wanted is None or (version == 0 and not wanted):
        topics = [_described(types, topic) for topic in context.topics if may_use(context, connection, topic.name)]
    else:
        may_create = context.config.auto_create_topics and getattr(body, "allow_auto_topic_creation", True)
        topics = [_looked_up(context, connection, types, each.name, may_create) for each in wanted]
    broker = build(types.MetadataResponseBroker, node_id=NODE_ID, host=context.host, port=context.port, rack=None)
    return build(
        types.MetadataResponse,
        throttle_time=NO_TIME,
        brokers=(broker,),
        cluster_id=context.cluster_id,
        controller_id=NODE_ID,
        topics=tuple(topics),
    )


def find_coordinator(context: Context, _connection: Connection, body: Any, version: int) -> Any:
    """Name the coordinator of a group: always us."""
    types = wire.response_types(wire.FIND_COORDINATOR, version)
    serves = getattr(body, "key_type", _GROUP_KEY) == _GROUP_KEY
    return build(
        types.FindCoordinatorResponse,
        throttle_time=NO_TIME,
        error_code=NONE if serves else ErrorCode.transactional_id_authorization_failed,
        error_message=None if serves else "This broker serves no transactions.",
        node_id=NODE_ID if serves else -1,
        host=context.host if serves else "",
        port=context.port if serves else -1,
    )


def init_producer_id(context: Context, _connection: Connection, body: Any, version: int) -> Any:
    """Give an idempotent producer its id."""
    types = wire.response_types(wire.INIT_PRODUCER_ID, version)
    producer_id, error = -1, ErrorCode.transactional_id_authorization_failed
    if body.transactional_id is None:
        try:
            producer_id, error = context.next_producer_id(), NONE
        except OSError:
            _LOG.exception("the disk refused to reserve producer ids")
            error = ErrorCode.kafka_storage_error
    return types.InitProducerIdResponse(
        throttle_time=NO_TIME,
        error_code=error,
        producer_id=producer_id,
        producer_epoch=0 if error is NONE else -1,
    )


def describe_cluster(context: Context, _connection: Connection, _body: Any, version: int) -> Any:
    """Tell the cluster's id and its only broker."""
    types = wire.response_types(wire.DESCRIBE_CLUSTER, version)
    broker = build(types.DescribeClusterBroker, broker_id=NODE_ID, host=context.host, port=context.port, rack=None)
    return build(
        types.DescribeClusterResponse,
        throttle_time=NO_TIME,
        error_code=NONE,
        error_message=None,
        cluster_id=context.cluster_id,
        controller_id=NODE_ID,
        brokers=(broker,),
    )


def _looked_up(context: Context, connection: Connection, types: Any, name: str, may_create: bool) -> Any:
    topic, error = find_topic(context, connection, name)
    if topic is None and error is not FORBIDDEN and may_create and is_legal_name(name):
        error = stored(context.topics.create, name, context.config.default_partitions, {})
        topic = context.topics.get(name)
    if topic is not None:
        return _described(types, topic)
    error = error if is_legal_name(name) else ErrorCode.invalid_topic_exception
    return build(types.MetadataResponseTopic, error_code=error, name=name, is_internal=False, partitions=())


def _described(types: Any, topic: Topic) -> Any:
    partitions = tuple(
        build(
            types.MetadataResponsePartition,
            error_code=NONE,
            partition_index=index,
            leader_id=NODE_ID,
            leader_epoch=0,
            replica_nodes=(NODE_ID,),
            isr_nodes=(NODE_ID,),
            offline_replicas=(),
        )
        for index in range(len(topic.partitions))
    )
    return build(
        types.MetadataResponseTopic, error_code=NONE, name=topic.name, is_internal=False, partitions=partitions
    )


HANDLERS: dict[int, ContextHandler] = {
    wire.API_VERSIONS: api_versions,
    wire.METADATA: metadata,
    wire.FIND_COORDINATOR: find_coordinator,
    wire.INIT_PRODUCER_ID: init_producer_id,
    wire.DESCRIBE_CLUSTER: describe_cluster,
}
"""Handlers of this module by API key."""
