"""Follows the topics of the broadcast view: all partitions, from the beginning, without a group."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from confluent_kafka import KafkaError, TopicPartition

from easeml.errors import UnavailableError
from easeml.stream.bulk import TIMEOUT, Place, bounds_of, consumer_of, received, record_of
from easeml.stream.messages import Record
from easeml.stream.settings import Settings
from easeml.stream.views import TOPICS, Broadcast

log = logging.getLogger(__name__)


class Tail:
    """Keeps a ``Broadcast`` up to date from a thread; every change is applied in the event loop.

    Parameters
    ----------
    settings : Settings
        Cluster to read from.
    broadcast : Broadcast
        View to feed.
    fail : callable
        Called in the event loop with the error that ended the thread.
    """

    def __init__(self, settings: Settings, broadcast: Broadcast, fail: Any) -> None:
        self._broadcast = broadcast
        self._fail = fail
        self._places: list[Place] = [(topic, n) for topic in TOPICS for n in range(settings.partitions)]
        self._reached: dict[Place, int] = dict.fromkeys(self._places, 0)
        self._stopping = threading.Event()
        self._consumer = consumer_of(settings, **{"enable.partition.eof": True, "auto.offset.reset": "earliest"})
        self._loop = asyncio.get_running_loop()
        self._first: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="tail", daemon=True)

    async def start(self) -> None:
        """Read everything that is there now.

        Raises
        ------
        UnavailableError
            When the broker does not answer.
        """
        self._thread.start()
        await self._first

    def _run(self) -> None:
        try:
            self._consumer.assign([TopicPartition(topic, n, 0) for topic, n in self._places])
            self._round(0)
            self._loop.call_soon_threadsafe(self._settle)
            while not self._stopping.is_set():
                self._pass_on(0.05)
                if self._broadcast.round_wanted:
                    self._answer()
        except Exception as error:  # without the view the service would call every app unknown
            if not self._stopping.is_set():
                self._loop.call_soon_threadsafe(self._end, error)

    def _answer(self) -> None:
        number = self._broadcast.begin_round()
        try:
            self._round(number)
        except UnavailableError as error:  # the events that wait for this round go on waiting
            log.warning("%s", error)
            return
        self._loop.call_soon_threadsafe(self._broadcast.end_round, number)

    def _settle(self) -> None:
        if not self._first.done():
            self._first.set_result(None)

    def _end(self, error: Exception) -> None:
        if self._first.done():
            self._fail(error)
        else:
            self._first.set_exception(error)

    def _round(self, number: int) -> None:
        ends = {place: end for place, (_, end) in bounds_of(self._consumer, self._places).items()}
        waited = 0.0
        while any(self._reached[place] < end for place, end in ends.items()) and not self._stopping.is_set():
            waited = 0.0 if self._pass_on(0.05) else waited + 0.05
            if waited > TIMEOUT:
                raise UnavailableError(f"Round {number} of the broadcast view did not end.", mend="Check the broker.")

    def _pass_on(self, timeout: float) -> bool:
        records = []
        messages = received(self._consumer, timeout)
        for message in messages:
            error = message.error()
            place = (message.topic(), message.partition())
            if error is None:
                records.append(record_of(message))
                self._reached[place] = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._reached[place] = max(self._reached[place], message.offset())
            elif error.fatal() or error.code() in {
                KafkaError.UNKNOWN_TOPIC_OR_PART,
                KafkaError.TOPIC_AUTHORIZATION_FAILED,
            }:
                raise UnavailableError(f"Reading {place[0]} failed: {error.str()}.", mend="Are the topics created?")
            else:
                log.warning("reading the broadcast view: %s", error.str())
        if records:
            self._loop.call_soon_threadsafe(self._apply, records)
        return bool(messages)

    def _apply(self, records: list[Record]) -> None:
        for record in records:
            self._broadcast.apply(record)

    def close(self) -> None:
        """Stop following."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
        self._consumer.close()
