"""The way in: group membership and fetching, in a thread of its own.

Heartbeats are sent by the client library's own threads, so neither a busy handler nor a busy event loop costs the
membership.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from easeml.errors import PermissionDeniedError, UnavailableError
from easeml.stream.bulk import Place, consumer_of, received, record_of
from easeml.stream.messages import Record
from easeml.stream.settings import Settings

log = logging.getLogger(__name__)

POLL_SECONDS = 0.05
END_SECONDS = 0.5
PROBE_SECONDS = 1.0
ANSWER_SECONDS = 0.2
_FINAL = (KafkaError._FATAL, KafkaError.UNKNOWN_TOPIC_OR_PART)
"""After the first, a fenced member for example, the client gives no more messages; ``fatal()`` does not tell so."""
_LOST = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT)
_REFUSED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)


class Inbox:
    """Consumes the inputs of one service.

    Parameters
    ----------
    settings : Settings
        Cluster to read from.
    service : str
        Name of the service; the group is ``easeml-<service>``.
    instance : str
        Static name of this member: after a restart it takes its partitions back without a rebalance.
    topics : iterable of str
        Input topics.
    assign : callable
        Called in this thread with the partition numbers that became ours; returns the offset to start at for each
        topic and partition. May take its time.
    revoke : callable
        Called in this thread before all partitions are given away.
    deliver : callable
        Called in this thread with the records that arrived.
    fail : callable
        Called in this thread with the error that ended it.
    """

    def __init__(
        self,
        settings: Settings,
        service: str,
        instance: str,
        topics: Iterable[str],
        *,
        assign: Callable[[list[int]], Mapping[Place, int]],
        revoke: Callable[[], None],
        deliver: Callable[[list[Record]], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._topics = list(topics)
        self._assign = assign
        self._revoke = revoke
        self._deliver = deliver
        self._fail = fail
        self._stopping = threading.Event()
        self.reachable = True
        self._orders: deque[Callable[[], None]] = deque()
        self._places: list[Place] = []
        self._ends: dict[Place, int] = {}
        self._look_at = 0.0
        self._probe_at = 0.0
        self._due: dict[Place, int] = {}
        self._lock = threading.Lock()
        self._consumer = consumer_of(
            settings,
            **{
                "group.id": f"easeml-{service}",
                "group.instance.id": instance,
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 1000,
                "max.poll.interval.ms": 600_000,
                # range gives every member the same partition numbers of all topics
                "partition.assignment.strategy": "range",
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": 32_768,
                "fetch.error.backoff.ms": 50,
                "topic.metadata.refresh.interval.ms": 10_000,
                "error_cb": self._heard,
            },
        )
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)

    def start(self) -> None:
        """Join the group."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._consumer.subscribe(self._topics, on_assign=self._assigned, on_revoke=self._revoked)
            while not self._stopping.is_set():
                records = [record_of(m) for m in received(self._consumer, POLL_SECONDS) if self._sound(m)]
                if records:
                    self._deliver(records)
                self._work()
        except Exception as error:  # whatever it is, the service must not live on without input
            if not self._stopping.is_set():
                self._fail(error)

    def _sound(self, message: Any) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() in _REFUSED:
            raise PermissionDeniedError(f"{error.str()} ({message.topic()}).", mend="Grant this account read access.")
        if error.fatal() or error.code() in _FINAL:
            raise UnavailableError(
                f"Reading {message.topic() or 'the inputs'} failed: {error.str()}.",
                mend="Are the topics created ('easeml topics'), and does no other process use this instance name?",
            )
        if error.code() in _LOST:
            self.reachable = False
        log.warning("reading %s: %s", message.topic(), error.str())
        return False

    def _heard(self, error: KafkaError) -> None:
        """Take note of a lost cluster; ``poll`` calls this, and never returns such errors itself."""
        # A single lost connection is ordinary, and the client opens it again.
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.reachable = False

    def _probe(self) -> None:
        # Messages prove nothing: those that were fetched before the outage still arrive.
        try:
            self._consumer.list_topics(self._topics[0], timeout=ANSWER_SECONDS)
        except KafkaException as error:
            log.debug("the broker does not answer: %s", error.args[0].str())
        else:
            self.reachable = True

    def _assigned(self, consumer: Any, partitions: list[Any]) -> None:
        offsets = self._assign(sorted({p.partition for p in partitions}))
        if not self._stopping.is_set():
            self._places = [(p.topic, p.partition) for p in partitions]
            consumer.assign([TopicPartition(t.topic, t.partition, offsets[t.topic, t.partition]) for t in partitions])
            # The client keeps a pause across rebalances, but whoever asked for it has gone with the partition.
            consumer.resume(partitions)

    def _revoked(self, consumer: Any, _partitions: list[Any]) -> None:
        self._revoke()
        self._commit(wait=True)
        self._orders.clear()
        self._places = []
        self._ends.clear()
        consumer.unassign()

    def _work(self) -> None:
        """Do what the event loop asked for: the client is only touched by this thread, as its calls may block."""
        while self._orders:
            self._orders.popleft()()
        self._commit(wait=False)
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + END_SECONDS
            for place in self._places:
                _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
                self._ends[place] = int(high)
        if not self.reachable and now >= self._probe_at:
            self._probe_at = now + PROBE_SECONDS
            self._probe()

    def _commit(self, *, wait: bool) -> None:
        with self._lock:
            due, self._due = self._due, {}
        offsets = [TopicPartition(*place, offset + 1) for place, offset in due.items() if place in self._places]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=not wait)
        except KafkaException as error:  # the position that counts is in the changelog
            log.info("group offsets were not committed: %s", error.args[0].str())

    # -- called from the event loop ------------------------------------------------------------------------------

    def pause(self, place: Place) -> None:
        """Stop fetching a partition."""
        self._orders.append(lambda: self._consumer.pause([TopicPartition(*place)]))

    def resume(self, place: Place) -> None:
        """Fetch a partition again."""
        self._orders.append(lambda: self._consumer.resume([TopicPartition(*place)]))

    def seek(self, place: Place, offset: int) -> None:
        """Continue a partition at another offset."""
        self._orders.append(lambda: self._consumer.seek(TopicPartition(*place, offset)))

    def end_of(self, place: Place) -> int:
        """Return the end offset last heard of, -1 when none was."""
        return self._ends.get(place, -1)

    def commit(self, positions: Mapping[Place, int]) -> None:
        """Tell the group how far we are, soon; for lag reports and outsiders only."""
        with self._lock:
            self._due |= positions

    def close(self) -> None:
        """Stop fetching and leave; a static member keeps its partitions for the session timeout."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._commit(wait=True)
        self._consumer.close()
