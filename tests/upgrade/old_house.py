"""A recorded house of a release: the broker's folder after one day, and its model files, in one small archive.

``python tests/upgrade/old_house.py`` records one with the code as it is, named after its version; do so at each release
and keep it: every later version must start on it and go on. What is recorded is the day of the contract tests.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import queue
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
sys.path.insert(0, str(Path(__file__).parents[1] / "simulation"))

import fsspec
from confluent_kafka import Producer
from house import PARTITIONS, ROOMS, Recording, record_house
from simulated_day import tiny

from easeml.broker.config import BrokerConfig
from easeml.broker.process import BrokerProcess
from easeml.broker.server import serve
from easeml.stream import admin
from easeml.stream.messages import Record
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import TICKS

ARCHIVES = Path(__file__).parents[1] / "data" / "upgrade"
STORE = "memory://old-house"
"""Where the model files of a recorded house lie: events name them by it."""


def record(folder: Path) -> None:
    """Let a house live through a day, and leave its broker and its model files in a folder."""
    with tiny():
        recording = record_house(STORE)
    with BrokerProcess(folder / "broker") as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, partitions=PARTITIONS, home=folder)
        admin.create_topics(settings, ROOMS)
        _publish(settings, recording)
    fsspec.filesystem("memory").get(STORE.removeprefix("memory:/"), str(folder / "artifacts"), recursive=True)


def _publish(settings: Settings, recording: Recording) -> None:
    producer = Producer(settings.kafka() | {"acks": "all", "enable.idempotence": True})
    for one in recording.records:
        producer.produce(
            one.topic, one.value, one.key, one.partition, timestamp=one.timestamp_ms, headers=[*one.headers]
        )
    if producer.flush(60):
        raise RuntimeError("The broker did not take every message.")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a recorded house; its model files are put where its events say."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    memory = fsspec.filesystem("memory")
    for path in (folder / "artifacts").rglob("*.skops"):
        memory.pipe(f"{STORE.removeprefix('memory:/')}/{path.relative_to(folder / 'artifacts')}", path.read_bytes())


@contextmanager
def at_rest(folder: Path) -> Iterator[str]:
    """Run today's broker without its upkeep, and yield its address: states are old enough to be compacted at once."""
    addresses: queue.SimpleQueue[str] = queue.SimpleQueue()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    config = BrokerConfig(port=0, data_dir=folder, cleanup_interval_ms=3_600_000)
    serving = serve(config, ready=addresses.put, stop=stop, handle_signals=False)
    thread = threading.Thread(target=loop.run_until_complete, args=(serving,))
    thread.start()
    try:
        yield addresses.get(timeout=30)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def messages(folder: Path) -> tuple[list[Record], dict[int, int]]:
    """Return what today's broker finds in the folder of an old one, each partition in its order, and the ends of ticks.

    Ticks themselves are kept for a week, so a broker may drop those of an old house as soon as it starts.
    """
    with at_rest(folder / "broker") as address:
        settings = Settings(bootstrap_servers=address, partitions=PARTITIONS, home=folder)
        names = {name for name in admin.metadata(settings).topics if name.startswith("easeml.")}
        reader, clock = TopicReader(settings, sorted(names - {TICKS.name})), TopicReader(settings, [TICKS.name])
        try:
            return list(reader.replay_raw()), {number: end for (_, number), end in clock.ends().items()}
        finally:
            reader.close()
            clock.close()


def main() -> None:
    """Record a house of this version."""
    version = importlib.metadata.version("easeml-streaming")
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    archive = ARCHIVES / f"house-{version}.tar.xz"
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"XZ_OPT": "-9e"}):
        record(Path(folder))
        parts = ["broker", "artifacts"]
        subprocess.run(
            ["tar", "--sort=name", "--owner=0", "--group=0", "-cJf", archive, *parts], cwd=folder, check=True
        )
    print(f"{archive}: {archive.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
