"""A real broker and real service processes for the kernel's tests."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from confluent_kafka import Producer

from brokers import new_broker
from easeml.ids import EventId
from easeml.stream import codec, envelope
from easeml.stream.admin import create_topics
from easeml.stream.events import Event
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import partition_of

PROCESS = Path(__file__).with_name("kernel_process.py")


class House:
    """Broker, topics and services; use as a context manager."""

    def __init__(self, folder, services, partitions=2, memory=True, **settings):
        self.folder = folder
        self.services = services
        self.broker = new_broker(memory=memory)
        self.overrides = {"partitions": partitions, "home": folder, **settings}
        self.processes = {}
        self.logs = {}
        self.program = PROCESS

    def __enter__(self):
        self.broker.start()
        self.settings = Settings(bootstrap_servers=self.broker.bootstrap_servers, **self.overrides)
        create_topics(self.settings, self.services)
        self.producer = Producer(self.settings.kafka() | {"acks": "all", "enable.idempotence": True, "linger.ms": 2})
        return self

    def __exit__(self, *_):
        for name in list(self.processes):
            self.stop(name, kill=True)
        self.broker.terminate()

    def start(self, name, **environment):
        environment = {f"EASEML_{key.upper()}": str(value) for key, value in environment.items()}
        own = {f"EASEML_{key.upper()}": str(value) for key, value in self.overrides.items()}
        env = os.environ | own | {"EASEML_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers} | environment
        self.run_file(name).unlink(missing_ok=True)
        self.logs.setdefault(name, self.folder / f"{name}.log")
        with self.logs[name].open("ab") as log:
            self.processes[name] = subprocess.Popen([sys.executable, str(self.program), name], env=env, stderr=log)

    def run_file(self, name):
        return self.folder / "run" / f"{name}.json"

    def wait_ready(self, name, timeout=40):
        def ready():
            assert self.processes[name].poll() is None, self.log(name)
            return self.run_file(name).exists() and json.loads(self.run_file(name).read_text())["ready"]

        self.wait(ready, timeout, name)

    def log(self, name):
        return self.logs[name].read_text(errors="replace")[-4000:]

    def wait(self, predicate, timeout=40, name=None):
        deadline = time.monotonic() + timeout
        while not predicate():
            assert time.monotonic() < deadline, f"not in time\n{self.log(name) if name else ''}"
            time.sleep(0.02)

    def health(self, name):
        port = json.loads(self.run_file(name).read_text())["health_port"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    def metrics(self, name):
        port = json.loads(self.run_file(name).read_text())["health_port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return answer.read().decode()

    def publish(self, topic, data, event_id=None, partition=None):
        if partition is None:
            partition = partition_of(envelope.partition_key(data), self.settings.partitions)
        headers = envelope.headers(EventId(event_id or EventId.random()), "easeml/user", data, time.time())
        while True:
            try:
                self.producer.produce(
                    topic.name, codec.encode(data), topic.key(data).encode(), partition, headers=headers
                )
                break
            except BufferError:
                self.producer.poll(0.1)

    def flush(self):
        assert self.producer.flush(30) == 0

    def events(self, topic) -> list[Event]:
        reader = TopicReader(self.settings, [topic if isinstance(topic, str) else topic.name])
        try:
            return list(reader.replay())
        finally:
            reader.close()

    def raw(self, topic):
        reader = TopicReader(self.settings, [topic])
        try:
            return list(reader.replay_raw())
        finally:
            reader.close()

    def stop(self, name, *, kill=False, timeout=15):
        process = self.processes.pop(name)
        process.kill() if kill else process.terminate()
        return process.wait(timeout)
