"""Handlers of the data path: produce, fetch, offsets by time, deletion of records."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

from kio.schema.errors import ErrorCode

from easeml.broker import wire
from easeml.broker.access import find_log
from easeml.broker.answers import Answer
from easeml.broker.connection import NO_ANSWER, Connection
from easeml.broker.context import Context, ContextHandler, stored
from easeml.broker.log import Appended, PartitionLog
from easeml.broker.wire import NO_TIME, NONE, build

_LATEST, _EARLIEST = -1, -2
_MOST_FETCHED = 16 * 1024 * 1024
"""Bytes of one answer: more would cost memory for every reader and save nothing."""


def produce(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Append batches and tell their offsets."""
    types = wire.response_types(wire.PRODUCE, version)
    failed = False
    responses = []
    for topic in body.topic_data:
        partitions = []
        for part in topic.partition_data:
            log, error = find_log(context, connection, topic.name, part.index)
            if body.acks not in {-1, 0, 1}:
                appended = Appended(ErrorCode.invalid_required_acks)
            else:
                appended = Appended(error) if log is None else log.append(part.records or b"")
            failed = failed or appended.error is not NONE
            partitions.append(_produced(types, part.index, appended, log))
        responses.append(types.TopicProduceResponse(name=topic.name, partition_responses=tuple(partitions)))
    context.serve_woken()  # before the producer's own answer: readers wait for the messages themselves
    if body.acks == 0:
        # There is no response to carry an error: like Kafka, hang up so that the client notices.
        if failed:
            connection.close()
        return NO_ANSWER
    return types.ProduceResponse(responses=tuple(responses), throttle_time=NO_TIME)


def fetch(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Return batches, at once or when enough have come."""
    waiting = _Fetch(context, connection, body, version)
    response, size, is_final = waiting.read()
    if is_final or size >= body.min_bytes or body.max_wait <= NO_TIME:
        return response
    return waiting.wait()


def list_offsets(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Tell the first or the next offset, or the first one since a time."""
    types = wire.response_types(wire.LIST_OFFSETS, version)
    return build(
        types.ListOffsetsResponse,
        throttle_time=NO_TIME,
        topics=tuple(
            types.ListOffsetsTopicResponse(
                name=topic.name,
                partitions=tuple(
                    _listed(types, find_log(context, connection, topic.name, part.partition_index), part)
                    for part in topic.partitions
                ),
            )
            for topic in body.topics
        ),
    )


def delete_records(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Drop what lies before an offset."""
    types = wire.response_types(wire.DELETE_RECORDS, version)
    return types.DeleteRecordsResponse(
        throttle_time=NO_TIME,
        topics=tuple(
            types.DeleteRecordsTopicResult(
                name=topic.name,
                partitions=tuple(_deleted(context, connection, types, topic.name, part) for part in topic.partitions),
            )
            for topic in body.topics
        ),
    )


def _produced(types: Any, index: int, appended: Appended, log: PartitionLog | None) -> Any:
    return build(
        types.PartitionProduceResponse,
        index=index,
        error_code=appended.error,
        base_offset=appended.offset,
        log_append_time=None
        if appended.stamped_ms is None
        else dt.datetime.fromtimestamp(appended.stamped_ms / 1000, dt.UTC),
        log_start_offset=-1 if log is None else log.start_offset,
        record_errors=(),
        error_message=appended.message,
    )


def _listed(types: Any, found: tuple[PartitionLog | None, ErrorCode], part: Any) -> Any:
    log, error = found
    offset, timestamp = -1, -1
    if log is None:
        pass
    elif part.timestamp == _LATEST:
        offset = log.end_offset
    elif part.timestamp == _EARLIEST:
        offset = log.start_offset
    elif part.timestamp < 0:
        error = ErrorCode.unsupported_version
    else:
        offset, timestamp = log.find_time(part.timestamp)
    return build(
        types.ListOffsetsPartitionResponse,
        partition_index=part.partition_index,
        error_code=error,
        timestamp=timestamp,
        offset=offset,
        leader_epoch=0 if offset >= 0 else -1,
    )


def _deleted(context: Context, connection: Connection, types: Any, name: str, part: Any) -> Any:
    topic = context.topics.get(name)
    log, error = find_log(context, connection, name, part.partition_index)
    low = -1
    if topic is not None and log is not None:
        offset = log.end_offset if part.offset == -1 else part.offset
        if log.start_offset <= offset <= log.end_offset:
            error = stored(context.topics.delete_records, topic, part.partition_index, offset)
            low = log.start_offset if error is NONE else -1
        else:
            error = ErrorCode.offset_out_of_range
    return types.DeleteRecordsPartitionResult(partition_index=part.partition_index, low_watermark=low, error_code=error)


class _Fetch:
    """One fetch request: it may be read at once, or wait for appends."""

    def __init__(self, context: Context, connection: Connection, body: Any, version: int) -> None:
        self._context = context
        self._connection = connection
        self._body = body
        self._types = wire.response_types(wire.FETCH, version)
        self._logs: set[PartitionLog] = set()
        self._answer = Answer(self._stop)
        self._timer: asyncio.TimerHandle | None = None
        self._missing = 0

    def read(self) -> tuple[Any, int, bool]:
        """Return the response, the bytes of records in it, and whether an error makes waiting pointless."""
        left: int = min(getattr(self._body, "max_bytes", _MOST_FETCHED), _MOST_FETCHED)
        size = 0
        is_final = False
        topics = []
        for topic in self._body.topics:
            partitions = []
            for part in topic.partitions:
                log, error = find_log(self._context, self._connection, topic.topic, part.partition)
                records = b""
                if log is not None:
                    error, records = self._records(log, part, left, at_least_one=size == 0)
                is_final = is_final or error is not NONE
                size += len(records)
                left -= len(records)
                if log is not None:
                    self._logs.add(log)
                partitions.append(self._partition(part.partition, error, log, records))
            topics.append(self._types.FetchableTopicResponse(topic=topic.topic, partitions=tuple(partitions)))
        self._missing = self._body.min_bytes - size
        response = build(
            self._types.FetchResponse,
            throttle_time=NO_TIME,
            error_code=NONE,
            session_id=0,
            responses=tuple(topics),
        )
        return response, size, is_final

    @staticmethod
    def _records(log: PartitionLog, part: Any, left: int, *, at_least_one: bool) -> tuple[ErrorCode, bytes]:
        offset = part.fetch_offset
        if not log.start_offset <= offset <= log.end_offset:
            return ErrorCode.offset_out_of_range, b""
        if offset == log.end_offset or (left <= 0 and not at_least_one):
            return NONE, b""
        return NONE, log.read(offset, min(part.partition_max_bytes, left), at_least_one=at_least_one)

    def _partition(self, index: int, error: ErrorCode, log: PartitionLog | None, records: bytes) -> Any:
        end = -1 if log is None else log.end_offset
        return build(
            self._types.PartitionData,
            partition_index=index,
            error_code=error,
            high_watermark=end,
            last_stable_offset=end,
            log_start_offset=-1 if log is None else log.start_offset,
            aborted_transactions=None,
            preferred_read_replica=-1,
            records=records,
        )

    def wait(self) -> Answer:
        """Return the answer to come: enough bytes came, or the client's patience ended."""
        patience = self._body.max_wait.total_seconds()
        self._timer = asyncio.get_running_loop().call_later(patience, self._finish)
        for log in self._logs:
            log.watchers.add(self._on_append)
        return self._answer

    def _on_append(self, size: int) -> None:
        was_missing = self._missing
        self._missing -= size
        if was_missing > 0 and (self._missing <= 0 or size == 0):
            self._context.wake(self._finish)

    def _finish(self) -> None:
        self._answer.give(lambda: self.read()[0])

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for log in self._logs:
            log.watchers.discard(self._on_append)


HANDLERS: dict[int, ContextHandler] = {
    wire.PRODUCE: produce,
    wire.FETCH: fetch,
    wire.LIST_OFFSETS: list_offsets,
    wire.DELETE_RECORDS: delete_records,
}
"""Handlers of this module by API key."""
