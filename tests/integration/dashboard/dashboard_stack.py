"""A broker, a label service and a dashboard, each a real process."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from confluent_kafka import Producer

from brokers import new_broker
from easeml.ports import free_port
from easeml.relation import Relation
from easeml.stream import payloads as p
from easeml.stream.admin import create_topics
from easeml.stream.publisher import EventPublisher
from easeml.stream.runfiles import read_run_file, write_run_file
from easeml.stream.settings import Settings
from easeml.stream.topics import CATALOGUE, PILLAR_TOPICS
from easeml.supervisor.roster import SERVICES

PATIENCE = 90.0
PARTITIONS = 2
TOPIC_OF = {payload: topic for topic in reversed(CATALOGUE) for payload in topic.payloads}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)


class DashboardStack:
    """Context manager: broker and services run from entry to exit, with ``token`` as that of the house."""

    def __init__(self, home: Path, services: tuple[str, ...] = ("labels", "dashboard"), token: str = "") -> None:
        self.home = home
        self.services = services
        self.token = token
        self.broker = new_broker(home / "broker")
        self.processes: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> Self:
        self.broker.start()
        self.settings = Settings.load(
            bootstrap_servers=self.broker.bootstrap_servers, partitions=PARTITIONS, home=self.home
        )
        create_topics(self.settings, SERVICES)
        self.publisher = EventPublisher(self.settings, "test")
        if "dashboard" in self.services:  # whose port no other house takes then, not even while it is killed
            ports = {"dashboard": free_port("127.0.0.1")}
            write_run_file(self.home, "dashboard", health_port=0, ports=ports, ready=False)
        try:
            for name in self.services:
                self.start(name)
            for name in self.services:
                self.until(lambda name=name: (self.run_file(name) or {}).get("ready"))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for process in self.processes.values():
                process.terminate()
            for process in self.processes.values():
                process.wait(30)
        finally:
            self.broker.__exit__(None, None, None)

    def start(self, name: str) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("EASEML_")}
        own = {
            "EASEML_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            "EASEML_PARTITIONS": str(PARTITIONS),
            "EASEML_HOME": str(self.home),
            "EASEML_LABELS_PORT": "0",
            "EASEML_SERVING_PORT": "0",
            "EASEML_TOKEN": self.token,
        }
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"easeml.{name}"], env=clean | own, stdout=log, stderr=log
            )

    def run_file(self, name: str) -> dict[str, Any] | None:
        found = read_run_file(self.home, name)
        return found if found and found["pid"] == self.processes[name].pid else None

    def until(self, condition):
        """Return the first true value of ``condition()``."""
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name}: {(self.home / f'{name}.log').read_text()[-4000:]}"
            assert time.monotonic() < deadline, "not in time"
            time.sleep(0.05)
        return value

    def publish(self, *said: Any) -> None:
        for data in said:
            self.publisher.publish(TOPIC_OF[type(data)], data)

    def publish_app(self, name: str) -> p.AppDefined:
        columns = (p.Column("age", p.ColumnKind.NUMERIC), p.Column("plan", p.ColumnKind.TEXT))
        app = p.AppDefined(name, "churned", ("no", "yes"), columns, acquisition_budget=50)
        self.publish(app)
        return app

    def publish_questions(self, app: p.AppDefined, count: int) -> None:
        """Publish pool rows and a question about each."""
        import pandas as pd

        names = tuple(f"{app.app}-{n}" for n in range(count))
        frame = pd.DataFrame({"age": np.arange(count) + 0.5, "plan": "<b>basic</b>", app.label: None}, index=names)
        relation = Relation.from_frame(
            frame, label=app.label, classes=app.classes, row_ids=names, columns=list(app.columns)
        )
        for batch in relation.to_batches(app.app, p.Pillar.POOL, app.life + "v1"):
            self.publisher.publish(PILLAR_TOPICS[p.Pillar.POOL], batch)
        self.publish(p.DataVersion(app.app, p.Pillar.POOL, app.life + "v1", count, "0" * 64, "published"))
        for place, name in enumerate(names):
            self.publish(
                p.Question(
                    app.app,
                    f"q/{name}",
                    p.QuestionKind.LABEL,
                    p.Pillar.POOL,
                    name,
                    app.classes,
                    1 - place / count,
                    "market",
                    probabilities=np.array([0.75, 0.25]),
                )
            )

    def garbage(self, topic: str, value: bytes) -> None:
        producer = Producer(self.settings.kafka())
        producer.produce(topic, value, b"key", 0)
        assert producer.flush(30) == 0

    @property
    def port(self) -> int:
        return self.run_file("dashboard")["ports"]["dashboard"]

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Reply:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, content, named)
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    @contextmanager
    def listening(self, app: str, **headers: str) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
        """Yield an iterator over id and content of the news of an app."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", f"/api/changes?app={app}", headers=named)
            response = connection.getresponse()
            assert response.status == 200
            assert response.getheader("content-type").startswith("text/event-stream")
            yield _events(response)
        finally:
            connection.close()


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    identity = ""
    while line := response.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "id":
            identity = value
        elif name == "data":
            yield identity, json.loads(value)
