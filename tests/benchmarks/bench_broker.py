"""Throughput and latency of the embedded broker, or of any: ``python tests/benchmarks/bench_broker.py [SERVERS]``.

Prints a table. The clients run on the same machine and are often the limit, so the broker's own CPU time is
printed beside (not for an external one).
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from figures import tell

from easeml.broker.process import BrokerProcess

Row = tuple[str, str, str]


class Bench:
    """Measurements against one broker."""

    def __init__(self, bootstrap_servers: str, pid: int | None) -> None:
        self.base = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
        self.pid = pid
        self.admin = AdminClient(self.base)

    def topic(self, partitions: int = 1) -> str:
        name = f"bench-{uuid.uuid4().hex[:8]}"
        self.admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
        return name

    def cpu(self) -> float:
        """CPU seconds that the broker has used."""
        if self.pid is None or not Path(f"/proc/{self.pid}/stat").exists():
            return float("nan")
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @contextmanager
    def measured(self) -> Iterator[dict[str, float]]:
        """Yield a dictionary that holds the wall and CPU seconds afterwards."""
        result: dict[str, float] = {}
        cpu, wall = self.cpu(), time.perf_counter()
        yield result
        result["wall"] = time.perf_counter() - wall
        result["cpu"] = self.cpu() - cpu

    def write(self, topic: str, size: int, count: int, **options: object) -> dict[str, float]:
        settings = {"linger.ms": 20, "batch.num.messages": 100_000, "batch.size": 1_000_000}
        settings["queue.buffering.max.messages"] = 2_000_000
        settings["queue.buffering.max.kbytes"] = 2_000_000
        producer = Producer(self.base | settings | options)
        value = os.urandom(size)
        producer.list_topics(topic, timeout=10)
        with self.measured() as result:
            if hasattr(producer, "produce_batch"):
                messages = [{"value": value}] * 10_000
                for start in range(0, count, len(messages)):
                    producer.produce_batch(topic, messages[: count - start])
            else:
                for _ in range(count):
                    producer.produce(topic, value)
            assert producer.flush(120) == 0
        return result

    def produce_small(self) -> Row:
        count = 1_500_000
        took = self.write(self.topic(), 100, count)
        tell("messages of 100 bytes written a second, acks=all", count / took["wall"], least=660_000)
        return (
            "produce 100 B, acks=all",
            f"{count / took['wall'] / 1e3:.0f} k msg/s",
            f"{took['cpu']:.2f} s CPU = {count / max(took['cpu'], 1e-9) / 1e3:.0f} k msg/s",
        )

    def read(self, topic: str, count: int) -> dict[str, float]:
        settings = {
            "group.id": "bench",
            "fetch.message.max.bytes": 10_000_000,
            "queued.max.messages.kbytes": 1_000_000,
            "queued.min.messages": 1_000_000,
            "check.crcs": False,
        }
        consumer = Consumer(self.base | settings)
        consumer.assign([TopicPartition(topic, 0, 0)])
        got = 0
        with self.measured() as result:
            while got < count:
                got += len(consumer.consume(min(10_000, count - got), 5))
        consumer.close()
        return result

    def consume_large(self) -> Row:
        count, size = 40_000, 24_000
        topic = self.topic()
        self.write(topic, size, count)
        took = self.read(topic, count)
        volume = count * size / 1e6
        tell("read, messages of 24 kB", volume / took["wall"], "MB/s", least=620)
        return (
            "consume 24 KB",
            f"{volume / took['wall']:.0f} MB/s",
            f"{took['cpu']:.2f} s CPU = {volume / max(took['cpu'], 1e-9):.0f} MB/s",
        )

    def produce_large(self) -> Row:
        count, size = 40_000, 24_000
        took = self.write(self.topic(), size, count)
        volume = count * size / 1e6
        return (
            "produce 24 KB, acks=all",
            f"{volume / took['wall']:.0f} MB/s",
            f"{took['cpu']:.2f} s CPU = {volume / max(took['cpu'], 1e-9):.0f} MB/s",
        )

    def round_trip(self, bare: list[float]) -> Row:
        topic = self.topic()
        producer = Producer(self.base | {"linger.ms": 0})
        consumer = Consumer(self.base | {"group.id": "bench", "fetch.wait.max.ms": 500})
        consumer.assign([TopicPartition(topic, 0, 0)])
        times = []
        with self.measured() as result:
            for index in range(3000):
                begin = time.perf_counter()
                producer.produce(topic, b"x" * 100)
                producer.poll(0)
                assert consumer.poll(10) is not None
                if index >= 100:
                    times.append((time.perf_counter() - begin) * 1000)
        consumer.close()
        cuts = statistics.quantiles(times, n=100)
        tell("from a producer to a consumer, p50", cuts[49], "ms", most=0.2, peer=f"bare socket {bare[49]:.2g} ms")
        tell("from a producer to a consumer, p99", cuts[98], "ms", most=4.9, peer=f"bare socket {bare[98]:.2g} ms")
        return (
            "produce -> consumed, p50/p99",
            f"{cuts[49]:.2f} / {cuts[98]:.2f} ms",
            f"{result['cpu'] / 3000 * 1e6:.0f} µs CPU",
        )

    def _joined(self, topic: str, group: str, **options: object) -> tuple[Consumer, float]:
        consumer = Consumer(self.base | {"group.id": group, "session.timeout.ms": 6000} | options)
        begin = time.perf_counter()
        consumer.subscribe([topic])
        while not consumer.assignment():
            consumer.poll(0.001)
        return consumer, time.perf_counter() - begin

    def join(self) -> Row:
        topic = self.topic(4)
        times = []
        for _ in range(5):
            consumer, took = self._joined(topic, f"bench-{uuid.uuid4().hex[:8]}")
            times.append(took)
            consumer.close()
        tell("the first member joins a group", statistics.median(times), "s", most=0.2)
        return "first member joins a group", f"{statistics.median(times):.2f} s", ""

    def static_restart(self, name: str, **options: object) -> Row:
        topic, group = self.topic(4), f"bench-{uuid.uuid4().hex[:8]}"
        options |= {"group.instance.id": "one"}
        consumer, _ = self._joined(topic, group, **options)
        times = []
        for _ in range(5):
            consumer.close()
            consumer, took = self._joined(topic, group, **options)
            times.append(took)
        consumer.close()
        if options.get("reconnect.backoff.ms"):
            tell("a static member comes back, settings of our services", statistics.median(times), "s", most=0.05)
        return name, f"{statistics.median(times):.3f} s", ""


def ping_pong() -> list[float]:
    """Return the percentiles, in ms, of the physical limit: 100 bytes to another process and back over a bare socket.

    A message on its way from a producer to a consumer wakes five threads or processes, this wakes two.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = multiprocessing.get_context("fork").Process(target=_echo, args=(listener,), daemon=True)
        child.start()
        times = []
        with socket.create_connection(listener.getsockname()) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(3000):
                begin = time.perf_counter()
                connection.sendall(b"x" * 100)
                connection.recv(4096)
                times.append((time.perf_counter() - begin) * 1000)
        child.join()
    return statistics.quantiles(times, n=100)


def bare_socket(cuts: list[float]) -> Row:
    return "bare socket there and back, p50/p99", f"{cuts[49]:.2f} / {cuts[98]:.2f} ms", ""


def _echo(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(4096):
        connection.sendall(data)


def start_time() -> Row:
    """Measure from the end of the imports to the first accepted connection, with data to recover."""
    import asyncio

    from easeml.broker import Broker, BrokerConfig

    async def started(folder: Path) -> float:
        begin = time.perf_counter()
        async with Broker(BrokerConfig(data_dir=folder)):
            return time.perf_counter() - begin

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(started(Path(folder)))
        took = asyncio.run(started(Path(folder)))
    tell("start, imports done", took, "s", most=0.1)
    return "start, imports done", f"{took:.3f} s", ""


def main() -> None:
    rows: list[Row] = []
    if len(sys.argv) > 1:
        rows = measure(Bench(sys.argv[1], None))
    else:
        begin = time.perf_counter()
        with BrokerProcess() as broker:
            rows.append(("start as a process", f"{time.perf_counter() - begin:.2f} s", ""))
            rows += measure(Bench(broker.bootstrap_servers, broker.pid))
        rows.append(start_time())
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def measure(bench: Bench) -> list[Row]:
    bare = ping_pong()
    return [
        bench.produce_small(),
        bench.produce_large(),
        bench.consume_large(),
        bench.round_trip(bare),
        bare_socket(bare),
        bench.join(),
        # librdkafka pauses for half of reconnect.backoff.ms (100 unless set) between its first two connections.
        bench.static_restart("static member comes back, client's defaults"),
        bench.static_restart("static member comes back, as our services", **{"reconnect.backoff.ms": 50}),
    ]


if __name__ == "__main__":
    main()
