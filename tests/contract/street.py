"""All services as processes on a real broker, as a supervisor would run them: forked from one that imported them."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parents[1]))

from confluent_kafka import Producer
from house import PARTITIONS, ROOMS, Said
from prometheus_client.parser import text_string_to_metric_families

from brokers import furnish, guarded_broker, new_broker
from easeml.ids import EventId
from easeml.stream.admin import create_topics
from easeml.stream.events import Event
from easeml.stream.grants import account
from easeml.stream.messages import Record
from easeml.stream.payloads import Tick
from easeml.stream.publisher import EventPublisher
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import TICKS
from easeml.supervisor import roster

PATIENCE = 240.0
FUSE = 20
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([*roster.PRELOADED])


def live(name: str, environment: dict[str, str], log: Path) -> None:
    """Run a service in this process, which was forked for it."""
    os.environ.clear()
    os.environ |= environment
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    roster.entry(name)()


class Street:
    """A broker with its data on disk and one process per service; a context manager.

    ``guarded``: every service has an account of its own, with the rights that it needs and no others.
    """

    def __init__(self, home: Path, *, guarded: bool = False) -> None:
        self.home = home
        self.guarded = guarded
        self.broker = guarded_broker(home / "broker") if guarded else new_broker(home / "broker")
        self.processes: dict[str, Any] = {}
        self.restarts: Counter[str] = Counter()
        self._ticks = 0
        self._tick_at = 0.0

    def __enter__(self) -> Self:
        self.broker.start()
        settings = {"partitions": PARTITIONS, "home": self.home, "fuse": FUSE}
        if self.guarded:
            self.settings = furnish(self.broker, ROOMS, **settings)
        else:
            self.settings = Settings(bootstrap_servers=self.broker.bootstrap_servers, **settings)
            create_topics(self.settings, ROOMS)
        self.publisher = EventPublisher(self.settings, "user")
        self.producer = Producer(self.settings.kafka() | {"acks": "all"})
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.join()
        self.broker.__exit__(None, None, None)

    # -- processes ---------------------------------------------------------------------------------------------------

    def start(self, names: Iterable[str] = tuple(ROOMS)) -> None:
        """Start services and wait until their run files say that they are ready."""
        names = list(names)
        for name in names:
            self._spawn(name)
        self.until(lambda: all(self.run_file(name).get("ready") for name in names))

    def _spawn(self, name: str) -> None:
        address = {"bootstrap_servers": self.settings.bootstrap_servers}
        settings = (self.broker.login(account(name)) if self.guarded else address) | {
            "home": self.home,
            "partitions": PARTITIONS,
            "fuse": FUSE,
            "labels_port": 0,
            "serving_port": 0,
            "health_port": 0,
        }
        ours = {f"EASEML_{key.upper()}": str(value) for key, value in settings.items()}
        others = {key: value for key, value in os.environ.items() if not key.startswith("EASEML_")}
        (self.home / "run" / f"{name}.json").unlink(missing_ok=True)
        environment = others | ours | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.processes[name] = self._process(name, environment)

    def _process(self, name: str, environment: dict[str, str]) -> Any:
        process = FORKS.Process(target=live, args=(name, environment, self.home / f"{name}.log"))
        process.start()
        return process

    def supervise(self) -> None:
        """Start again what ended with an error, as the supervisor does; nothing may end without one."""
        for name, process in self.processes.items():
            code = process.exitcode
            if code is not None:
                assert code > 0, f"{name} ended with {code}\n{self.log(name)}"
                self.restarts[name] += 1
                self._spawn(name)

    def terminate(self) -> None:
        for process in self.processes.values():
            process.terminate()

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")[-3000:]

    def run_file(self, name: str) -> dict[str, Any]:
        path = self.home / "run" / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else {}

    # -- health ------------------------------------------------------------------------------------------------------

    def health(self, name: str) -> tuple[int, dict[str, Any]]:
        try:
            with self._get(name, "health") as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    def metrics(self, name: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Return metric family -> labels -> value."""
        with self._get(name, "metrics") as answer:
            families = text_string_to_metric_families(answer.read().decode())
            return {
                family.name: {tuple(sorted(s.labels.items())): s.value for s in family.samples} for family in families
            }

    def _get(self, name: str, path: str) -> Any:
        return urllib.request.urlopen(f"http://127.0.0.1:{self.run_file(name)['health_port']}/{path}", timeout=5)

    def at_rest(self) -> bool:
        """Whether every service has applied everything there is."""
        return all(self.health(name)[1]["lag"] == 0 for name in ROOMS)

    # -- messages ----------------------------------------------------------------------------------------------------

    def say(self, said: Iterable[Said]) -> None:
        for one in said:
            self.publisher.send(one.topic, one.data, event_id=EventId(one.id))
        self.publisher.flush()

    def garbage(self, topic: str, partition: int, count: int = 1) -> None:
        for place in range(count):
            self.producer.produce(topic, b"no avro %d" % place, b"key", partition)
        assert self.producer.flush(30) == 0

    def tick(self) -> None:
        if time.monotonic() >= self._tick_at:
            self._tick_at = time.monotonic() + 1.0
            self._ticks += 1
            for partition in range(PARTITIONS):
                self.publisher.send(TICKS, Tick(self._ticks, time.time()), partition=partition)
            self.publisher.flush()

    def events(self, topic: str) -> list[Event[Any]]:
        return self._read(topic, TopicReader.replay)

    def raw(self, topic: str) -> list[Record]:
        return self._read(topic, TopicReader.replay_raw)

    def _read(self, topic: str, how: Callable[[TopicReader], Iterable[Any]]) -> list[Any]:
        reader = TopicReader(self.settings, [topic])
        try:
            return list(how(reader))
        finally:
            reader.close()

    def until(self, condition: Callable[[], Any], *, supervised: bool = False) -> None:
        """Let the clock tick until the condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            for name, process in self.processes.items():
                assert supervised or process.exitcode is None, f"{name} ended\n{self.log(name)}"
            assert time.monotonic() < deadline, "\n".join(f"{self.log(name)}\n" for name in self.processes)
            if supervised:
                self.supervise()
            self.tick()
            time.sleep(0.05)
