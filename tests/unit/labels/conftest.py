from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import grpc.aio
import numpy as np
import pytest

from easeml.errors import UnavailableError
from easeml.labels.server import LabelServer
from easeml.labels.service import LabelsService
from easeml.labels.v1 import labels_pb2_grpc
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import Annotation, Answer, AppDefined, Column, ColumnKind, Pillar, Question, QuestionKind
from easeml.stream.settings import Settings
from easeml.stream.topics import ANNOTATIONS, ANSWERS, APPS, QUESTIONS

APP = AppDefined(
    app="churn",
    label="churned",
    classes=("no", "yes"),
    columns=(Column("age", ColumnKind.NUMERIC),),
    label_budget=3,
)
QUESTION = Question(
    app="churn",
    question="q",
    kind=QuestionKind.LABEL,
    pillar=Pillar.PRODUCTION,
    row_id="r",
    candidates=("no", "yes"),
    information_gain=1.0,
    asked_by="modelpicker",
    probabilities=np.array([0.5, 0.5]),
)
ANNOTATION = Annotation(app="churn", question="q", annotator="ada", request_id="a1", value=1)


@pytest.fixture
def app() -> AppDefined:
    return APP


@pytest.fixture
def question() -> Callable[..., Question]:
    def make(name: str = "q", **changes: object) -> Question:
        return replace(QUESTION, question=name, **({"row_id": f"row-{name}"} | changes))

    return make


@pytest.fixture
def annotation() -> Callable[..., Annotation]:
    def make(name: str = "q", **changes: object) -> Annotation:
        return replace(ANNOTATION, question=name, **({"request_id": f"request-{name}"} | changes))

    return make


class House:
    """The label service over the in-memory broker, with its gRPC server."""

    def __init__(self) -> None:
        self.service = LabelsService()
        self.cluster = MemoryCluster([self.service], partitions=2)
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.define(APP)

    def define(self, app: AppDefined) -> None:
        self.put(APPS, app)

    def put(self, topic, data, **options) -> None:
        self.cluster.publish(topic, data, **options)
        self.cluster.run()

    def ask(self, *questions: Question) -> None:
        for question in questions:
            self.put(QUESTIONS, question)

    async def publish(self, topic, data, *, id=None) -> None:  # noqa: A002 - as the kernel calls it
        await self.gate.wait()
        if self.down:
            raise UnavailableError("The broker is away.", mend="Wait.")
        self.put(topic, data, id=id)

    def answers(self) -> list[Answer]:
        return [event.data for event in self.cluster.events(ANSWERS)]

    def annotations(self) -> list[Annotation]:
        return [event.data for event in self.cluster.events(ANNOTATIONS)]

    def clock(self) -> float:
        return self.cluster.now


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def serve(house, tmp_path):
    """Start a server whose home is the test's folder; return its address."""
    servers = []

    async def start(**settings) -> str:
        known = Settings.load(**{"labels_port": 0, "home": tmp_path} | settings)
        server = LabelServer(house.service, known, clock=house.clock)
        servers.append(server)
        await server.start(house)
        return f"127.0.0.1:{server.port}"

    start.servers = servers
    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def stub(serve):
    address = await serve()
    async with grpc.aio.insecure_channel(address) as channel:
        yield labels_pb2_grpc.LabelServiceStub(channel)
