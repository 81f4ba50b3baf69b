"""A broker and a label service, each a real process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Self

sys.path.insert(0, str(Path(__file__).parents[2]))

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from brokers import new_broker
from easeml.labels.client import credentials_of
from easeml.ports import free_port
from easeml.stream import envelope
from easeml.stream.admin import create_topics
from easeml.stream.bulk import record_of
from easeml.stream.publisher import EventPublisher
from easeml.stream.runfiles import read_run_file
from easeml.stream.settings import Settings

PARTITIONS = 2
PATIENCE = 90.0


class LabelStack:
    """Context manager: the broker runs from entry to exit, the service from ``start`` on."""

    def __init__(self, home: Path, *, token: str = "", tls: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.tls = tls or {}
        self.port = free_port("127.0.0.1")
        self.token = token
        self.broker = new_broker(home / "broker")
        self.process: subprocess.Popen | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.broker.start()
        self.settings = Settings.load(
            bootstrap_servers=self.broker.bootstrap_servers, partitions=PARTITIONS, home=self.home
        )
        create_topics(self.settings, ["labels"])
        self.publisher = EventPublisher(self.settings, "test")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.process is not None and self.process.poll() is None:
                self.process.terminate()
                self.process.wait(30)
        finally:
            self.broker.__exit__(None, None, None)

    def start(self, **extra: str) -> None:
        """Start the service with ``extra`` in its environment and wait until it serves."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("EASEML_")} | {
            "EASEML_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            "EASEML_PARTITIONS": str(PARTITIONS),
            "EASEML_HOME": str(self.home),
            "EASEML_LABELS_PORT": str(self.port),
            "EASEML_TOKEN": self.token,
            **{f"EASEML_{name.upper()}": value for name, value in self.tls.items()},
            **extra,
        }
        with (self.home / "labels.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "easeml.labels"], env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE
        with self._channel() as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while True:
                with contextlib.suppress(grpc.RpcError):
                    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                assert self.process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.05)

    def _channel(self) -> grpc.Channel:
        options = [("grpc.max_reconnect_backoff_ms", 200)]
        credentials = credentials_of(Settings(**self.tls))
        if credentials is None:
            return grpc.insecure_channel(self.target, options=options)
        return grpc.secure_channel(self.target, credentials, options=options)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def log(self) -> str:
        return (self.home / "labels.log").read_text()[-5000:]

    def applied(self, topic) -> int:
        """Return how many messages of a topic the service has applied."""
        port = read_run_file(self.home, "labels")["health_port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return sum(offset + 1 for offset in json.load(answer)["positions"].get(topic.name, {}).values())

    def publish(self, topic, data, **options) -> None:
        self.publisher.publish(topic, data, **options)

    def events(self, topic) -> list:
        """Return every event of a topic, read by a fresh consumer."""
        from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

        consumer = Consumer(self.settings.kafka() | {"group.id": "test", "enable.partition.eof": True,
                                                     "enable.auto.commit": False})  # fmt: skip
        events, unread = [], set(range(PARTITIONS))
        try:
            consumer.assign([TopicPartition(topic.name, partition, OFFSET_BEGINNING) for partition in unread])
            while unread:
                message = consumer.poll(30)
                assert message is not None, f"{topic.name} is silent"
                if message.error() is None:
                    events.append(envelope.parse(record_of(message)))
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    unread.discard(message.partition())
        finally:
            consumer.close()
        return events

    def until(self, condition):
        """Return the first true value of ``condition()``."""
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        return value
