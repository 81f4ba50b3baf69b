"""Reading topics from outside the services: bulk replay and live tailing, without a consumer group."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from easeml.errors import NotFoundError, PermissionDeniedError, SchemaError, UnavailableError
from easeml.stream import admin, envelope
from easeml.stream.bulk import NOT_YET, consumer_of, received, record_of
from easeml.stream.events import Event
from easeml.stream.messages import Record
from easeml.stream.settings import Settings

log = logging.getLogger(__name__)
_TIMEOUT = 10.0
_RETRY = 0.1
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class TopicReader:
    """Reads whole topics, from the beginning or from now on.

    Parameters
    ----------
    settings : Settings
        Cluster to read from.
    topics : iterable of str
        Topic names.
    from_beginning : bool
        Start at the first message, or only at messages that arrive from now on.
    """

    def __init__(self, settings: Settings, topics: Iterable[str], *, from_beginning: bool = True) -> None:
        self._consumer = consumer_of(settings, **{"auto.offset.reset": "earliest"})
        self._settings = settings
        self._admin = admin.client(settings)
        self.unreadable = 0
        """Messages met so far that are no events; their services dead-letter them, with the cause."""
        self._partitions = self._assign(list(topics), from_beginning=from_beginning)

    def _assign(self, topics: list[str], *, from_beginning: bool) -> list[TopicPartition]:
        known = admin.metadata(self._settings).topics
        for name in topics:
            if name not in known or known[name].error is not None:
                raise NotFoundError(f"Topic {name} does not exist on this broker.", mend="'easeml topics' lists them.")
        places = [(name, number) for name in topics for number in known[name].partitions]
        starts = offsets(self._admin, places, _EARLIEST if from_beginning else _LATEST)
        partitions = [TopicPartition(name, number, start) for (name, number), start in starts.items()]
        self._consumer.assign(partitions)
        return partitions

    def ends(self) -> dict[tuple[str, int], int]:
        """Return the end offset of each partition now."""
        return offsets(self._admin, [(p.topic, p.partition) for p in self._partitions], _LATEST)

    def raw(self, timeout: float = 0.2, count: int = 500) -> list[Record]:
        """Return up to ``count`` messages, waiting at most ``timeout`` seconds for the first.

        Raises
        ------
        PermissionDeniedError
            When this account may not read the topic.
        """
        found = []
        for message in received(self._consumer, timeout, count):
            if message.error() is None:
                found.append(record_of(message))
            else:
                _raise(message.error(), message)
        return found

    def events(self, timeout: float = 0.2, count: int = 500) -> list[Event[Any]]:
        """Return decoded events; messages that do not decode are counted in ``unreadable`` and left out."""
        return list(self._decoded(self.raw(timeout, count)))

    def _decoded(self, found: Iterable[Record]) -> Iterator[Event[Any]]:
        for record in found:
            try:
                event = decoded(record)
            except SchemaError as error:
                self.unreadable += 1
                log.debug("%s[%d]@%d: %s", record.topic, record.partition, record.offset, error)
                continue
            if event is not None:
                yield event

    def replay_raw(self) -> Iterator[Record]:
        """Yield every message up to the present end of the topics, then stop.

        Raises
        ------
        UnavailableError
            When the broker stops answering on the way.
        """
        ends = self.ends()
        positions = {(p.topic, p.partition): p.offset for p in self._partitions}
        quiet_until = time.monotonic() + _TIMEOUT
        while any(positions[key] < end for key, end in ends.items()):
            found = self.raw()
            if found:
                quiet_until = time.monotonic() + _TIMEOUT
            elif time.monotonic() > quiet_until:
                raise UnavailableError("The broker stopped answering during a replay.", mend="Try again.")
            for position in self._consumer.position(self._partitions):
                if position.offset >= 0:
                    positions[position.topic, position.partition] = position.offset
            if not found:  # what was to come may have gone since: a consumer that got nothing has no position
                behind = [place for place, end in ends.items() if positions[place] < end]
                for place, start in offsets(self._admin, behind, _EARLIEST).items():
                    positions[place] = max(positions[place], start)
            yield from found

    def replay(self) -> Iterator[Event[Any]]:
        """Yield every event up to the present end of the topics, then stop."""
        return self._decoded(self.replay_raw())

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


def offsets(client: AdminClient, places: list[tuple[str, int]], spec: OffsetSpec) -> dict[tuple[str, int], int]:
    """Return the offset that ``spec`` stands for in each partition, with one request.

    Raises
    ------
    UnavailableError
        When the broker does not tell.
    """
    deadline = time.monotonic() + _TIMEOUT
    refused = False
    while places:
        try:
            if refused:  # a client keeps what it heard of leaders, also past a bounce, until it asks about all topics
                client.list_topics(timeout=_TIMEOUT)
            asked = client.list_offsets({TopicPartition(*place): spec for place in places}, request_timeout=_TIMEOUT)
            return {(p.topic, p.partition): future.result().offset for p, future in asked.items()}
        except KafkaException as error:
            refused = True
            if error.args[0].code() not in (*NOT_YET, KafkaError._NOENT) or time.monotonic() > deadline:
                raise UnavailableError(f"The broker does not tell its offsets ({error}).", mend="Try again.") from error
            time.sleep(_RETRY)
    return {}


def decoded(record: Record) -> Event[Any] | None:
    """Return the event of a message; None for a tombstone.

    Raises
    ------
    SchemaError
        When the message is no event.
    """
    return None if record.value is None else envelope.parse(record)


def _raise(error: KafkaError, message: Any) -> None:
    if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        raise PermissionDeniedError(
            f"This account may not read {message.topic()}.", mend="Ask its owner for read access."
        )
    if error.fatal():
        raise UnavailableError(f"The broker connection failed: {error.str()}.", mend="Try again.")
    log.warning("reading: %s", error.str())
