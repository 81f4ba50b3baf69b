"""The way out: messages are sent in order and awaited together."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, Producer

from easeml.errors import UnavailableError
from easeml.ids import EventId
from easeml.stream import codec, envelope
from easeml.stream.messages import Message
from easeml.stream.payloads import Payload
from easeml.stream.settings import Settings
from easeml.stream.topics import Topic, partition_of
from easeml.stream.tracing import publishing

_KAFKA_LOG = logging.getLogger("easeml.kafka")


class _Parcel:
    """Messages that are awaited together."""

    __slots__ = ("error", "future", "left", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, left: int) -> None:
        self.loop = loop
        self.left = left
        self.error: KafkaError | None = None
        self.future: asyncio.Future[None] = loop.create_future()

    def delivered(self, error: KafkaError | None, _message: Any) -> None:
        """Count one message; called by the poll thread."""
        if error is not None and self.error is None:
            self.error = error
        self.left -= 1
        if self.left == 0:
            self.loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        if self.future.cancelled():
            return
        if self.error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(
                UnavailableError(f"The broker did not take a message: {self.error.str()}.", mend="Check the broker.")
            )


class Outbox:
    """Idempotent producer (acks=all) whose acknowledgements are awaited.

    It is also the publisher that the servers beside a service get.

    Parameters
    ----------
    settings : Settings
        Cluster to write to.
    source : str
        ``ce_source`` of what servers publish.
    """

    def __init__(self, settings: Settings, source: str) -> None:
        self._settings = settings
        self._source = source
        self._closing = threading.Event()
        self._producer = Producer(
            settings.kafka()
            | {
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 0.5,
                "message.timeout.ms": 60_000,
                "message.max.bytes": 64_000_000,
                "socket.nagle.disable": True,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 1000,
            },
            logger=_KAFKA_LOG,
        )
        self._thread = threading.Thread(target=self._poll, name="outbox", daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(0.1)

    async def send(self, messages: Sequence[Message]) -> None:
        """Send messages; return when the broker has all of them.

        Messages of one partition arrive in this order, also across calls.

        Raises
        ------
        UnavailableError
            When the broker did not take one of them in time.
        """
        if not messages:
            return
        parcel = _Parcel(asyncio.get_running_loop(), len(messages))
        for message in messages:
            while True:
                try:
                    self._producer.produce(
                        message.topic,
                        message.value,
                        message.key,
                        message.partition,
                        headers=list(message.headers),
                        on_delivery=parcel.delivered,
                    )
                except BufferError:  # the queue is full: let the broker take some
                    await asyncio.sleep(0.01)
                    continue
                break
        await parcel.future

    async def publish(self, topic: Topic, data: Payload, *, id: EventId | None = None) -> None:  # noqa: A002
        """Publish one event; return when the broker has it.

        Raises
        ------
        UnavailableError
            When the broker does not take it.
        """
        now, identity = time.time(), id or EventId.random()
        partition = partition_of(envelope.partition_key(data), self._settings.partitions)
        value = codec.encode(data)
        with publishing(self._source, topic, partition, identity, data) as traceparent:
            headers = envelope.headers(identity, f"easeml/{self._source}", data, now, traceparent)
            await self.send([Message(topic.name, partition, topic.key(data).encode(), value, tuple(headers))])

    def close(self) -> None:
        """Give what is queued a moment to arrive, then leave."""
        self._closing.set()
        self._thread.join(1.0)
        self._producer.flush(2.0)
