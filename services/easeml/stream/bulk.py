"""Reading ranges of partitions in bulk, without a group: changelogs, views to rebuild, gaps to check."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from easeml.errors import UnavailableError
from easeml.stream.messages import Record
from easeml.stream.settings import Settings

Place = tuple[str, int]
"""Topic and partition."""

GROUP = "easeml-bulk"
"""Named by readers that join no group: clients ask for the coordinator of some name."""
CHUNK = 500
TIMEOUT = 15.0
_RETRY = 0.1
NOT_YET = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
)
"""A broker that has just made the topic, or comes back, may not know yet that it leads the partition."""
_KAFKA_LOG = logging.getLogger("easeml.kafka")


def consumer_of(settings: Settings, **options: Any) -> Any:
    """Return a consumer that commits nothing and joins no group unless ``options`` say so."""
    base = {
        "group.id": GROUP,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 20,
        # Whoever decodes is slower than any broker: what waits for them costs memory and gains nothing.
        "fetch.message.max.bytes": 1_000_000,
        "fetch.max.bytes": 8_000_000,
        "queued.min.messages": 5_000,
        "queued.max.messages.kbytes": 4_096,
        "socket.nagle.disable": True,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
    }
    return Consumer(settings.kafka() | base | options, logger=_KAFKA_LOG)


def record_of(message: Any) -> Record:
    """Return a received message as a record."""
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        tuple(message.headers() or ()),
        message.timestamp()[1],
    )


def received(consumer: Any, timeout: float, count: int = CHUNK) -> list[Any]:
    """Return messages as soon as there are any; ``consume`` alone would wait for ``count`` of them."""
    first = consumer.poll(timeout)
    return [] if first is None else [first, *consumer.consume(count - 1, 0)]


def bounds_of(consumer: Any, places: Iterable[Place]) -> dict[Place, tuple[int, int]]:
    """Return begin and end offset of partitions.

    Raises
    ------
    UnavailableError
        When the broker does not answer or a topic is missing.
    """
    deadline = time.monotonic() + TIMEOUT
    return {place: _bounds(consumer, place, deadline) for place in places}


def _bounds(consumer: Any, place: Place, deadline: float) -> tuple[int, int]:
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(*place), timeout=TIMEOUT)
        except KafkaException as error:
            if error.args[0].code() not in NOT_YET or time.monotonic() > deadline:
                raise UnavailableError(
                    f"The broker does not tell the offsets of {place[0]}[{place[1]}]: {error.args[0].str()}.",
                    mend="Is it up, and were the topics created? 'easeml doctor' tells.",
                ) from error
            time.sleep(_RETRY)
        else:
            return low, high


class BulkReader:
    """Reads bounded ranges; every call blocks and belongs in an executor.

    Parameters
    ----------
    settings : Settings
        Cluster to read from.
    """

    def __init__(self, settings: Settings) -> None:
        self._consumer = consumer_of(settings, **{"enable.partition.eof": True, "auto.offset.reset": "earliest"})
        self._open: dict[Place, int] = {}

    def bounds(self, places: Iterable[Place]) -> dict[Place, tuple[int, int]]:
        """Return begin and end offset of partitions.

        Raises
        ------
        UnavailableError
            When the broker does not answer or a topic is missing.
        """
        return bounds_of(self._consumer, places)

    def begin(self, ranges: Mapping[Place, tuple[int, int]]) -> None:
        """Start to read: from the first offset up to, not including, the second."""
        self._open = {place: end for place, (start, end) in ranges.items() if start < end}
        self._consumer.assign([TopicPartition(*place, ranges[place][0]) for place in self._open])

    def chunk(self) -> list[Record]:
        """Return some records of the ranges; an empty list at their end.

        Raises
        ------
        UnavailableError
            When the broker stops answering.
        """
        quiet = 0.0
        while self._open:
            messages = received(self._consumer, 0.2)
            quiet = 0.0 if messages else quiet + 0.2
            if quiet > TIMEOUT:
                raise UnavailableError(f"The broker stopped answering while {sorted(self._open)} was read.")
            records = [record for message in messages if (record := self._take(message)) is not None]
            if records:
                return records
        return []

    def _take(self, message: Any) -> Record | None:
        error, place = message.error(), (message.topic(), message.partition())
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._open.pop(place, None)
            elif not error.retriable():
                raise UnavailableError(f"Reading {place[0]}[{place[1]}] failed: {error.str()}.")
            return None
        end = self._open.get(place)
        if end is None:
            return None
        if message.offset() >= end - 1:
            del self._open[place]
        return record_of(message) if message.offset() < end else None

    def first_at(self, place: Place, offset: int) -> int:
        """Return the offset of the first message at or after ``offset``: more than that tells of a real gap."""
        low, high = self.bounds([place])[place]
        if offset < low:
            return low
        self.begin({place: (offset, high)})
        found = self.chunk()
        self._consumer.unassign()
        return found[0].offset if found else high

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


async def chunks(reader: BulkReader, ranges: Mapping[Place, tuple[int, int]]) -> AsyncIterator[list[Record]]:
    """Yield the records of ranges; the event loop stays free while the broker works."""
    reader.begin(ranges)
    while found := await asyncio.to_thread(reader.chunk):
        yield found
