"""Publishing from outside the services: the SDK, the CLI, the supervisor's clock."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from easeml.errors import InvalidDataError, PermissionDeniedError, UnavailableError
from easeml.ids import EventId
from easeml.stream import codec, envelope
from easeml.stream.admin import wire_bytes
from easeml.stream.payloads import Payload
from easeml.stream.settings import Settings
from easeml.stream.topics import Topic, partition_of
from easeml.stream.tracing import publishing

log = logging.getLogger(__name__)


class EventPublisher:
    """Idempotent producer of events (acks=all).

    Parameters
    ----------
    settings : Settings
        Cluster to publish to.
    source : str
        ``ce_source`` of the events.
    timeout : float
        Seconds after which an event that the broker has not taken is given up.
    """

    def __init__(self, settings: Settings, source: str, timeout: float = 30.0) -> None:
        self._settings = settings
        self._source = source
        self._timeout = timeout
        self._failures: list[KafkaError] = []
        self._producer = Producer(
            settings.kafka()
            | {
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 0.5,
                "message.timeout.ms": int(timeout * 1000),
                "message.max.bytes": wire_bytes(settings),
                "compression.type": "none",
            },
            logger=logging.getLogger("easeml.kafka"),
        )

    def send(
        self, topic: Topic, data: Payload, *, event_id: EventId | None = None, partition: int | None = None
    ) -> EventId:
        """Queue an event and return its id; ``flush`` waits for the broker.

        Raises
        ------
        InvalidDataError
            When the topic does not carry such payloads or the message is too large.
        PermissionDeniedError, UnavailableError
            As ``flush``, when it is known already that the broker will not take it.
        """
        if not isinstance(data, topic.payloads):
            raise InvalidDataError(f"Topic {topic.name} does not carry {type(data).__name__}.")
        event_id = event_id or EventId.random()
        value = codec.encode(data)
        if len(value) > self._settings.max_message_bytes:
            raise InvalidDataError(
                f"A {type(data).__name__} of {len(value):,} bytes is larger than {self._settings.max_message_bytes:,}.",
                mend="Publish fewer rows per batch.",
            )
        if partition is None:
            partition = partition_of(envelope.partition_key(data), self._settings.partitions)
        with publishing(self._source, topic, partition, event_id, data) as traceparent:
            headers = envelope.headers(event_id, f"easeml/{self._source}", data, time.time(), traceparent)
            self._produce(topic, topic.key(data).encode(), value, partition, headers)
        self._producer.poll(0)
        return event_id

    def _produce(
        self, topic: Topic, key: bytes, value: bytes, partition: int, headers: list[tuple[str, bytes]]
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    topic.name, value, key, partition, headers=[*headers], on_delivery=self._delivered
                )
            except BufferError:  # the queue is full: let the broker take some
                self._producer.poll(0.1)
                continue
            except KafkaException as error:  # what the broker said of the topic before is known at once
                raise _refusal(error.args[0], 1) from error
            return

    def flush(self) -> None:
        """Wait until the broker has every event.

        Raises
        ------
        PermissionDeniedError
            When this account may not write the topic.
        UnavailableError
            When events could not be delivered in time.
        """
        left = self._producer.flush(self._timeout)
        failures, self._failures = self._failures, []
        if failures:
            raise _refusal(failures[0], len(failures))
        if left:
            raise UnavailableError(
                f"{left} events are not acknowledged by {self._settings.bootstrap_servers}.",
                mend="Check the broker with 'easeml doctor' and publish again; events keep their ids.",
            )

    def publish(self, topic: Topic, data: Payload, *, event_id: EventId | None = None) -> EventId:
        """Send one event and wait until the broker has it."""
        event_id = self.send(topic, data, event_id=event_id)
        self.flush()
        return event_id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failures.append(error)


def _refusal(error: KafkaError, count: int) -> Exception:
    if error.code() in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}:
        return PermissionDeniedError(
            f"The broker refused {count} events: {error.str()}.", mend="Ask the operator for write access to the topic."
        )
    if error.code() == KafkaError._UNKNOWN_PARTITION or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return UnavailableError(
            f"The topic does not exist on the broker ({error.str()}).", mend="Run 'easeml up' or 'easeml doctor' first."
        )
    return UnavailableError(
        f"{count} events could not be delivered: {error.str()}.", mend="Check the broker with 'easeml doctor'."
    )
