"""A group member in a process of its own: it reads, writes down what it read, commits, and can be killed.

Every line on stdout is a JSON object: ``{"assigned": [...]}`` or ``{"read": [[partition, offset], ...]}``. A
line on stdin asks it to leave in good order.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from confluent_kafka import Consumer, KafkaException


def say(**what: Any) -> None:
    """Write one line at once: a kill must not take it back."""
    print(json.dumps(what), flush=True)


def run_confluent(options: argparse.Namespace, stop: threading.Event) -> None:
    settings = {
        "bootstrap.servers": options.bootstrap,
        "group.id": options.group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": options.session_ms,
        "heartbeat.interval.ms": 500,
        "log_level": 0,
    }
    if options.instance:
        settings["group.instance.id"] = options.instance
    consumer = Consumer(settings)
    consumer.subscribe(
        [options.topic],
        on_assign=lambda _consumer, places: say(assigned=sorted(each.partition for each in places)),
        on_revoke=lambda _consumer, places: say(revoked=sorted(each.partition for each in places)),
    )
    while not stop.is_set():
        messages = [each for each in consumer.consume(20, 0.1) if each.error() is None]
        if messages:
            say(read=[[each.partition(), each.offset()] for each in messages])
            try:
                consumer.commit(asynchronous=False)
            except KafkaException as error:
                say(commit_failed=str(error))
    consumer.close()


class _Listener(ConsumerRebalanceListener):
    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock

    async def on_partitions_revoked(self, revoked: Any) -> None:
        # Wait until what was read has been committed: that is what makes a rebalance lose and double nothing.
        async with self._lock:
            say(revoked=sorted(each.partition for each in revoked))

    async def on_partitions_assigned(self, assigned: Any) -> None:
        say(assigned=sorted(each.partition for each in assigned))


async def run_aiokafka(options: argparse.Namespace, stop: threading.Event) -> None:
    lock = asyncio.Lock()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=options.bootstrap,
        group_id=options.group,
        group_instance_id=options.instance or None,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=options.session_ms,
        heartbeat_interval_ms=500,
    )
    consumer.subscribe([options.topic], listener=_Listener(lock))
    await consumer.start()
    while not stop.is_set():
        # Not under the lock: during a rebalance getmany returns nothing and waits for its end.
        batches = await consumer.getmany(timeout_ms=100, max_records=20)
        read = [[each.partition, each.offset] for messages in batches.values() for each in messages]
        if read:
            async with lock:
                say(read=read)
                await consumer.commit()
    await consumer.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--client", choices=["confluent", "aiokafka"], required=True)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--instance", default="")
    parser.add_argument("--session-ms", type=int, default=6000)
    options = parser.parse_args()
    stop = threading.Event()

    def wait_for_word() -> None:
        sys.stdin.readline()
        stop.set()

    threading.Thread(target=wait_for_word, daemon=True).start()
    if options.client == "confluent":
        run_confluent(options, stop)
    else:
        asyncio.run(run_aiokafka(options, stop))
    say(left=True)


if __name__ == "__main__":
    main()
