"""Restricted topics: who may write, read, find and change them.

A topic that nobody restricted is everybody's. The rule knows names of users alone, which only a login proves, so the
settings refuse it without logins. Who is not allowed gets Kafka's TOPIC_AUTHORIZATION_FAILED, whether or not the topic
is there, and does not find it in lists.
"""

from __future__ import annotations

from kio.schema.errors import ErrorCode

from easeml.broker.connection import Connection
from easeml.broker.context import Context
from easeml.broker.log import PartitionLog
from easeml.broker.topics import Topic
from easeml.broker.wire import NONE

FORBIDDEN = ErrorCode.topic_authorization_failed


def may_use(context: Context, connection: Connection, name: str) -> bool:
    """Whether the user of a connection may use the topic."""
    allowed = context.config.restricted_topics.get(name)
    return allowed is None or connection.user in allowed


def find_topic(context: Context, connection: Connection, name: str) -> tuple[Topic | None, ErrorCode]:
    """Return a topic, or why there is none for this user."""
    if not may_use(context, connection, name):
        return None, FORBIDDEN
    topic = context.topics.get(name)
    return topic, NONE if topic is not None else ErrorCode.unknown_topic_or_partition


def find_log(
    context: Context, connection: Connection, name: str, partition: int
) -> tuple[PartitionLog | None, ErrorCode]:
    """Return the log of a partition, or why there is none for this user."""
    if not may_use(context, connection, name):
        return None, FORBIDDEN
    log = context.topics.log(name, partition)
    return log, NONE if log is not None else ErrorCode.unknown_topic_or_partition
