"""Bringing partitions back: changelog, views, then the place where each input goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

from easeml.errors import ConfigurationError
from easeml.stream.bulk import BulkReader, Place, chunks
from easeml.stream.changelog import Snapshot, changelog_topic
from easeml.stream.lanes import Lanes
from easeml.stream.needs import Run
from easeml.stream.partition import PartitionProcessor
from easeml.stream.service import Service
from easeml.stream.settings import Settings
from easeml.stream.tracing import started
from easeml.stream.views import Broadcast

log = logging.getLogger(__name__)

_SLICE_SECONDS = 0.02


async def recover(
    service: Service[Any], settings: Settings, broadcast: Broadcast, partitions: Sequence[int]
) -> dict[int, Lanes]:
    """Return the queues of partitions as they were when the service last wrote its position.

    Raises
    ------
    UnavailableError
        When the broker does not answer or a topic is missing.
    ConfigurationError
        When an input is shorter than what was applied of it.
    SchemaError
        When the changelog holds something that is not the kernel's.
    """
    begun = time.monotonic()
    tracing = started(service.name)
    make = PartitionProcessor if tracing is None else tracing.processor
    reader = await asyncio.to_thread(BulkReader, settings)
    try:
        snapshots = await _snapshots(reader, service.name, partitions)
        lanes = {}
        for number in partitions:
            processor = make(service, number, settings, broadcast, snapshots[number])
            lanes[number] = Lanes(processor, snapshots[number])
        begins = await asyncio.to_thread(reader.bounds, [(t, n) for n in partitions for t in lanes[n].lanes])
        folded = await _refold(reader, lanes, {place: low for place, (low, _) in begins.items()})
        for (topic, number), (low, high) in begins.items():
            expected = lanes[number].lanes[topic].expected
            if expected > high:
                raise ConfigurationError(
                    f"{topic}[{number}] ends at {high}, but {service.name} has applied {expected} messages of it.",
                    mend=f"The topic was created anew or lost messages. Delete {changelog_topic(service.name)} too, "
                    "so that the service begins again.",
                )
            if 0 < expected < low:
                log.warning("%s[%d] begins at %d now; %d messages expired", topic, number, low, low - expected)
            lanes[number].start_at(topic, low)
            lanes[number].catch_up(topic, high)
    finally:
        await asyncio.to_thread(reader.close)
    log.info(
        "recovered partitions %s in %.2f s: %d apps, %d messages folded",
        list(partitions),
        time.monotonic() - begun,
        sum(len(lane.processor.apps) for lane in lanes.values()),
        folded,
    )
    return lanes


async def _snapshots(reader: BulkReader, service: str, partitions: Sequence[int]) -> dict[int, Snapshot]:
    topic = changelog_topic(service)
    snapshots = {number: Snapshot() for number in partitions}
    ranges = await asyncio.to_thread(reader.bounds, [(topic, number) for number in partitions])
    async for records in chunks(reader, ranges):
        # Only the last value of a key counts, so the others need no decoding.
        newest = {(record.partition, record.key): record for record in records}
        for record in newest.values():
            assert record.key is not None
            snapshots[record.partition].apply(record.key, record.value)
    return snapshots


def _ranges(lanes: dict[int, Lanes], begins: dict[Place, int]) -> Iterator[dict[Place, Run]]:
    """Yield what is to be read at once: the first runs of all partitions of a topic, the second ones and so on."""
    for topic in dict.fromkeys(topic for lane in lanes.values() for topic in lane.processor.routes.folded):
        runs = {n: lane.processor.to_fold(topic, begins[topic, n]) for n, lane in lanes.items()}
        for place in range(max(map(len, runs.values()))):
            yield {(topic, number): found[place] for number, found in runs.items() if place < len(found)}


async def _refold(reader: BulkReader, lanes: dict[int, Lanes], begins: dict[Place, int]) -> int:
    """Fold topic by topic, in the order of the service's table; return the number of messages."""
    count = 0
    for ranges in _ranges(lanes, begins):
        async for records in chunks(reader, ranges):
            begun = time.monotonic()
            for record in records:
                error = lanes[record.partition].processor.refold(record)
                if error is not None:
                    log.info("%s[%d]@%d is left out: %s", record.topic, record.partition, record.offset, error)
                if time.monotonic() - begun > _SLICE_SECONDS:
                    await asyncio.sleep(0)
                    begun = time.monotonic()
            count += len(records)
    return count
