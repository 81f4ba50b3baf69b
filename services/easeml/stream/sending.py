"""Messages as they are, for tools that repeat, mark or withdraw what others said; events go through the publisher."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from confluent_kafka import Producer

from easeml.errors import UnavailableError
from easeml.stream.messages import Message
from easeml.stream.settings import Settings


def send(settings: Settings, messages: Sequence[Message]) -> None:
    """Publish messages byte by byte and wait until the broker has them.

    Raises
    ------
    UnavailableError
        When it does not take all of them within half a minute.
    """
    producer = Producer(
        settings.kafka() | {"acks": "all", "enable.idempotence": True, "message.max.bytes": 64_000_000},
        logger=logging.getLogger("easeml.kafka"),
    )
    failed: list[str] = []
    for message in messages:
        producer.produce(
            message.topic,
            message.value,
            message.key,
            message.partition,
            headers=list(message.headers),
            on_delivery=lambda error, _: failed.append(error.str()) if error else None,
        )
        producer.poll(0)
    left = producer.flush(30)
    if failed or left:
        raise UnavailableError(
            f"{len(failed) + left} of {len(messages)} messages could not be sent: {(failed or ['timeout'])[0]}.",
            mend="Check the broker with 'easeml doctor' and try again.",
        )
