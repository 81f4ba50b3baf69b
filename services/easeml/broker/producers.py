"""Idempotent producers of one partition: which sequence numbers were appended already.

The last five batches of each producer are remembered, as many as a client may have in flight. The state is
rebuilt from the batch headers when a log is recovered, so a retry over a restart is still recognised.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from kio.schema.errors import ErrorCode

from easeml.broker.batch import Batch

_REMEMBERED = 5
_MOST_PRODUCERS = 10_000
_SEQUENCES = 2**31
NO_PRODUCER = -1


@dataclass(slots=True)
class _Producer:
    epoch: int
    last_sequence: int
    recent: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a batch: append it, answer with ``duplicate_of``, or refuse it with ``error``."""

    error: ErrorCode = ErrorCode.none
    duplicate_of: int | None = None


_APPEND = Verdict()


class ProducerStates:
    """Sequence numbers of the producers of one partition."""

    def __init__(self) -> None:
        self._producers: OrderedDict[int, _Producer] = OrderedDict()

    def check(self, batch: Batch) -> Verdict:
        """Judge the batch by its producer's epoch and sequence (Kafka's ``ProducerAppendInfo`` rules).

        A producer that is not known here may begin at any sequence: its state was expired or compacted away.
        """
        if batch.producer_id == NO_PRODUCER:
            return _APPEND
        producer = self._producers.get(batch.producer_id)
        if producer is None:
            return _APPEND
        if batch.producer_epoch < producer.epoch:
            return Verdict(ErrorCode.invalid_producer_epoch)
        if batch.producer_epoch > producer.epoch:
            return _APPEND if batch.base_sequence == 0 else Verdict(ErrorCode.out_of_order_sequence_number)
        last = _advance(batch.base_sequence, batch.last_offset_delta)
        for first_seen, last_seen, offset in producer.recent:
            if first_seen == batch.base_sequence and last_seen == last:
                return Verdict(duplicate_of=offset)
        if batch.base_sequence != _advance(producer.last_sequence, 1):
            return Verdict(ErrorCode.out_of_order_sequence_number)
        return _APPEND

    def newest(self) -> frozenset[int]:
        """Return the offset of every producer's newest batch."""
        return frozenset(producer.recent[-1][2] for producer in self._producers.values())

    def record(self, batch: Batch, offset: int) -> None:
        """Remember that the batch was appended at ``offset``."""
        if batch.producer_id == NO_PRODUCER:
            return
        producer = self._producers.get(batch.producer_id)
        last = _advance(batch.base_sequence, batch.last_offset_delta)
        if producer is None or producer.epoch != batch.producer_epoch:
            producer = self._producers[batch.producer_id] = _Producer(batch.producer_epoch, last)
        producer.last_sequence = last
        producer.recent.append((batch.base_sequence, last, offset))
        self._producers.move_to_end(batch.producer_id)
        if len(self._producers) > _MOST_PRODUCERS:
            self._producers.popitem(last=False)


def _advance(sequence: int, by: int) -> int:
    return (sequence + by) % _SEQUENCES
