"""confluent-kafka and aiokafka behind one small face, so that each test runs with both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as AioPartition
from aiokafka.errors import KafkaError as AioError
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

PATIENCE = 40.0
"""Seconds after which something that ought to happen counts as not happening."""


_NOT_YET = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
}


class Record(NamedTuple):
    """A record as it was read, or is to be written (offset -1)."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int | None = None
    partition: int = 0
    offset: int = -1


class RefusedError(Exception):
    """The broker or the client refused; ``code`` is Kafka's error number where there is one."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Client(Protocol):
    """What the tests need of a client."""

    kind: str

    def produce(self, topic: str, records: Sequence[Record], **options: Any) -> list[int]:
        """Write records and return their offsets; options: acks, idempotent, compression, largest."""
        ...

    def read(self, topic: str, start: int, count: int, **options: Any) -> list[Record]:
        """Read ``count`` records of a partition from an offset on; options: partition, fetch_max_bytes, reset, until.

        ``until`` is an offset after which to stop, for a log with gaps.
        """
        ...

    def bounds(self, topic: str, partition: int = 0) -> tuple[int, int]:
        """Return the first offset and the one after the last."""
        ...

    def offset_at(self, topic: str, timestamp: int) -> int:
        """Return the offset of the first record at or after a time (ms); -1 where there is none."""
        ...

    def read_as_group(self, group: str, topic: str, count: int) -> list[Record]:
        """Read ``count`` records as a member of a group, from where it stands, then commit and leave."""
        ...

    def committed(self, group: str, topic: str, partition: int = 0) -> int:
        """Return the committed offset; -1 where there is none."""
        ...


def _from_confluent(message: Message) -> Record:
    error = message.error()
    if error is not None:
        raise RefusedError(error.code(), error.str())
    return Record(
        message.value(),
        message.key(),
        tuple(message.headers() or ()),
        message.timestamp()[1],
        message.partition(),
        message.offset(),
    )


class ConfluentClient:
    """confluent-kafka (librdkafka)."""

    kind = "confluent"

    def __init__(self, bootstrap_servers: str) -> None:
        self._base = {"bootstrap.servers": bootstrap_servers, "log_level": 0}

    def produce(
        self,
        topic: str,
        records: Sequence[Record],
        *,
        acks: int | str = "all",
        idempotent: bool = False,
        compression: str = "none",
        largest: int = 1_000_000,
    ) -> list[int]:
        producer = Producer(
            self._base
            | {
                "acks": acks,
                "enable.idempotence": idempotent,
                "compression.type": compression,
                "message.max.bytes": largest,
                "linger.ms": 2,
                "topic.metadata.propagation.max.ms": 2000,
                "message.timeout.ms": int(PATIENCE * 1000),
            }
        )
        offsets: list[int] = []
        refused: list[RefusedError] = []

        def delivered(error: Any, message: Message) -> None:
            if error is not None:
                refused.append(RefusedError(error.code(), error.str()))
            else:
                offsets.append(message.offset())

        for record in records:
            extra = {} if record.timestamp is None else {"timestamp": record.timestamp}
            producer.produce(
                topic,
                record.value,
                record.key,
                record.partition,
                headers=list(record.headers),
                on_delivery=delivered,
                **extra,
            )
            producer.poll(0)
        assert producer.flush(PATIENCE) == 0
        if refused:
            raise refused[0]
        return offsets

    def _consumer(self, **options: Any) -> Consumer:
        return Consumer(
            self._base
            | {"group.id": "accept-none", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
            | options
        )

    def read(
        self,
        topic: str,
        start: int,
        count: int,
        *,
        partition: int = 0,
        fetch_max_bytes: int = 52_428_800,
        reset: str = "error",
        until: int | None = None,
    ) -> list[Record]:
        options = {"fetch.max.bytes": max(fetch_max_bytes, 1000), "message.max.bytes": 1000}
        consumer = self._consumer(
            **{"auto.offset.reset": reset, "max.partition.fetch.bytes": fetch_max_bytes},
            **(options if fetch_max_bytes < 1000 else {}),
        )
        try:
            consumer.assign([TopicPartition(topic, partition, start)])
            return _collect(consumer, count, until)
        finally:
            consumer.close()

    def bounds(self, topic: str, partition: int = 0) -> tuple[int, int]:
        consumer = self._consumer()
        try:
            low, high = _patiently(
                lambda: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=PATIENCE)
            )
            return low, high
        finally:
            consumer.close()

    def offset_at(self, topic: str, timestamp: int) -> int:
        consumer = self._consumer()
        try:
            asked = [TopicPartition(topic, 0, timestamp)]
            found = _patiently(lambda: consumer.offsets_for_times(asked, timeout=PATIENCE))[0]
            assert found.error is None
            end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE)[1]
            # librdkafka says "end" where no record is that late, with the end's number or without it.
            return -1 if found.offset in {-1, end} else found.offset
        finally:
            consumer.close()

    def read_as_group(self, group: str, topic: str, count: int) -> list[Record]:
        consumer = self._consumer(**{"group.id": group, "session.timeout.ms": 6000})
        try:
            consumer.subscribe([topic])
            records = _collect(consumer, count)
            consumer.commit(asynchronous=False)
            return records
        finally:
            consumer.close()

    def committed(self, group: str, topic: str, partition: int = 0) -> int:
        consumer = self._consumer(**{"group.id": group})
        try:
            asked = [TopicPartition(topic, partition)]
            offset: int = _patiently(lambda: consumer.committed(asked, timeout=PATIENCE))[0].offset
            return max(offset, -1)
        finally:
            consumer.close()


def _patiently(ask: Callable[[], Any]) -> Any:
    # A real broker that has just started answers "not the leader" until it has taken its partitions over.
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _is_at(records: list[Record], until: int | None) -> bool:
    return until is not None and bool(records) and records[-1].offset >= until


def _collect(consumer: Consumer, count: int, until: int | None = None) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE
    while len(records) < count and not _is_at(records, until) and time.monotonic() < deadline:
        try:
            records += [_from_confluent(message) for message in consumer.consume(count - len(records), 0.2)]
        except KafkaException as error:
            raise RefusedError(error.args[0].code(), str(error)) from error
    return records


class AiokafkaClient:
    """aiokafka, which faust builds on; each call runs an event loop of its own."""

    kind = "aiokafka"

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap = bootstrap_servers

    def produce(
        self,
        topic: str,
        records: Sequence[Record],
        *,
        acks: int | str = "all",
        idempotent: bool = False,
        compression: str = "none",
        largest: int = 1_000_000,
    ) -> list[int]:
        async def work() -> list[int]:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                acks=acks,
                enable_idempotence=idempotent,
                compression_type=None if compression == "none" else compression,
                max_request_size=largest,
                linger_ms=2,
            )
            async with producer:
                futures = [
                    await producer.send(
                        topic,
                        record.value,
                        record.key,
                        record.partition,
                        timestamp_ms=record.timestamp,
                        headers=list(record.headers),
                    )
                    for record in records
                ]
                done = await asyncio.gather(*futures)
                return [] if acks == 0 else [each.offset for each in done]

        return _run(work())

    def read(
        self,
        topic: str,
        start: int,
        count: int,
        *,
        partition: int = 0,
        fetch_max_bytes: int = 52_428_800,
        reset: str = "error",
        until: int | None = None,
    ) -> list[Record]:
        async def work() -> list[Record]:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                auto_offset_reset="none" if reset == "error" else reset,
                fetch_max_bytes=fetch_max_bytes,
                max_partition_fetch_bytes=fetch_max_bytes,
            )
            async with consumer:
                consumer.assign([AioPartition(topic, partition)])
                consumer.seek(AioPartition(topic, partition), start)
                return await _collect_async(consumer, count, until)

        return _run(work())

    def bounds(self, topic: str, partition: int = 0) -> tuple[int, int]:
        async def work() -> tuple[int, int]:
            async with AIOKafkaConsumer(bootstrap_servers=self._bootstrap) as consumer:
                place = AioPartition(topic, partition)
                low = await consumer.beginning_offsets([place])
                high = await consumer.end_offsets([place])
                return low[place], high[place]

        return _run(work())

    def offset_at(self, topic: str, timestamp: int) -> int:
        async def work() -> int:
            async with AIOKafkaConsumer(bootstrap_servers=self._bootstrap) as consumer:
                place = AioPartition(topic, 0)
                found = (await consumer.offsets_for_times({place: timestamp}))[place]
                return -1 if found is None else found.offset

        return _run(work())

    def read_as_group(self, group: str, topic: str, count: int) -> list[Record]:
        async def work() -> list[Record]:
            consumer = AIOKafkaConsumer(
                topic,
                bootstrap_servers=self._bootstrap,
                group_id=group,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                session_timeout_ms=6000,
                heartbeat_interval_ms=1000,
            )
            async with consumer:
                records = await _collect_async(consumer, count)
                await consumer.commit()
                return records

        return _run(work())

    def committed(self, group: str, topic: str, partition: int = 0) -> int:
        async def work() -> int:
            consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, group_id=group, enable_auto_commit=False)
            async with consumer:
                consumer.assign([AioPartition(topic, partition)])
                offset = await consumer.committed(AioPartition(topic, partition))
                return -1 if offset is None else offset

        return _run(work())


def _run(work: Any) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(work, PATIENCE + 20)

    try:
        return asyncio.run(bounded())
    except AioError as error:
        raise RefusedError(getattr(error, "errno", -1), repr(error)) from error


async def _collect_async(consumer: AIOKafkaConsumer, count: int, until: int | None = None) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE
    while len(records) < count and not _is_at(records, until) and time.monotonic() < deadline:
        batches = await consumer.getmany(timeout_ms=200, max_records=count - len(records))
        for messages in batches.values():
            records += [
                Record(each.value, each.key, tuple(each.headers), each.timestamp, each.partition, each.offset)
                for each in messages
            ]
    return records
