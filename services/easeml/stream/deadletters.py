"""Dead letters for people: list them, look at one, send them on their way again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Producer

from easeml.errors import NotFoundError, UnavailableError
from easeml.stream.admin import existing
from easeml.stream.poison import PREFIX, REDRIVE
from easeml.stream.reader import Raw, TopicReader
from easeml.stream.settings import Settings


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that a service gave up, with its cause.

    Parameters
    ----------
    letter : str
        Name for people: ``<dead-letter topic>:<partition>:<offset>``.
    topic, partition, offset : str, int, int
        Where the original message was.
    service : str
        Service that gave it up.
    reason, message : str
        Machine-readable cause and the text: what, where, how to mend it.
    time : float
        When, in seconds since 1970 UTC.
    raw : Raw
        The original bytes and headers.
    """

    letter: str
    topic: str
    partition: int
    offset: int
    service: str
    reason: str
    message: str
    time: float
    raw: Raw


def _parse(raw: Raw) -> DeadLetter:
    headers = {name: value.decode(errors="replace") for name, value in raw.headers}
    return DeadLetter(
        f"{raw.topic}:{raw.partition}:{raw.offset}",
        headers.get(f"{PREFIX}topic", raw.topic.removesuffix(".dlq")),
        int(headers.get(f"{PREFIX}partition", raw.partition)),
        int(headers.get(f"{PREFIX}offset", -1)),
        headers.get(f"{PREFIX}service", "?"),
        headers.get(f"{PREFIX}reason", "?"),
        headers.get(f"{PREFIX}message", ""),
        float(headers.get(f"{PREFIX}time", raw.timestamp_ms / 1000)),
        raw,
    )


def read(settings: Settings, topic: str | None = None) -> Iterator[DeadLetter]:
    """Yield every dead letter of the cluster, or of one topic.

    Raises
    ------
    NotFoundError
        When the topic has no dead-letter topic.
    """
    names = [name for name in existing(settings) if name.endswith(".dlq")]
    if topic is not None:
        wanted = topic if topic.endswith(".dlq") else f"{topic}.dlq"
        if wanted not in names:
            raise NotFoundError(f"There is no dead-letter topic {wanted}.", mend="'easeml topics' lists the topics.")
        names = [wanted]
    reader = TopicReader(settings, names)
    try:
        for raw in reader.replay_raw():
            yield _parse(raw)
    finally:
        reader.close()


def find(settings: Settings, letter: str) -> DeadLetter:
    """Return the dead letter of this name.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    topic = letter.split(":", 1)[0]
    for found in read(settings, topic):
        if found.letter == letter:
            return found
    raise NotFoundError(f"There is no dead letter {letter!r}.", mend="'easeml dead-letters list' shows their names.")


def redrive(settings: Settings, letters: list[DeadLetter]) -> None:
    """Publish the original messages again, each marked so that its service processes it afresh.

    Raises
    ------
    UnavailableError
        When the broker does not take them.
    """
    producer = Producer(
        settings.kafka() | {"acks": "all", "enable.idempotence": True}, logger=logging.getLogger("easeml.kafka")
    )
    failed: list[str] = []
    for letter in letters:
        headers: list[tuple[str, str | bytes | None]] = [
            (name, value) for name, value in letter.raw.headers if not name.startswith(PREFIX)
        ]
        times = sum(name == REDRIVE for name, _ in headers)
        headers.append((REDRIVE, str(times + 1).encode()))
        producer.produce(
            letter.topic,
            letter.raw.value,
            letter.raw.key,
            letter.partition,
            headers=headers,
            on_delivery=lambda error, _: failed.append(error.str()) if error else None,
        )
    left = producer.flush(30)
    if failed or left:
        raise UnavailableError(
            f"{len(failed) + left} of {len(letters)} dead letters could not be sent: {(failed or ['timeout'])[0]}.",
            mend="Check the broker with 'easeml doctor' and redrive again.",
        )
