"""The house at work on a tiny real data set: iris, three quick algorithms, one app, an oracle.

``ROOMS`` is the table of all services; a new service is one line of it, and every test of this folder runs for it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_iris

from easeml.advisor.service import AdvisorService
from easeml.automl.service import AutoMLService
from easeml.automl.trainer import TrainerService
from easeml.ci.service import CIService
from easeml.cpclean.service import CPCleanService
from easeml.datamagic.service import DataMagicService
from easeml.ids import EventId
from easeml.labels.service import LabelsService
from easeml.market.service import MarketService
from easeml.modelpicker.service import ModelPickerService
from easeml.relation import Relation
from easeml.serving.service import ServingService
from easeml.snoopy.service import SnoopyService
from easeml.stream import codec, envelope
from easeml.stream.changelog import Stored
from easeml.stream.events import Event
from easeml.stream.memory import MemoryCluster
from easeml.stream.messages import Headers, Record
from easeml.stream.payloads import (
    AlgorithmAnnounced,
    Annotation,
    AppDefined,
    CandidateBatch,
    Column,
    ColumnKind,
    DataVersion,
    ModelPublished,
    ModelRetired,
    Payload,
    Pillar,
    PredictionBatch,
    TestLabels,
    Tick,
    TrialAssigned,
    TrialFinished,
    TrialProgress,
    TrialRequested,
    Upload,
)
from easeml.stream.routing import Routes
from easeml.stream.service import Service
from easeml.stream.topics import (
    ALGORITHMS,
    ANNOTATIONS,
    ANSWERS,
    APPS,
    BY_NAME,
    CANDIDATES,
    CI_ANSWERS,
    CI_QUESTIONS,
    CLEANING,
    DATA_TEST_LABELS,
    DATA_VERSIONS,
    FEASIBILITY,
    MODELS,
    PILLAR_TOPICS,
    PREDICTIONS,
    QUESTIONS,
    TRIALS,
    VALUES,
    Topic,
    partition_of,
    uploads_topic,
)

MAX_ARTIFACT = 10_000_000
ROOMS: dict[str, Callable[[str], Service[Any]]] = {
    "automl": lambda _store: AutoMLService(),
    "trainer": lambda store: TrainerService(store, MAX_ARTIFACT),
    "serving": lambda store: ServingService(store, MAX_ARTIFACT),
    "ci": lambda _store: CIService(),
    "modelpicker": lambda _store: ModelPickerService(),
    "labels": lambda _store: LabelsService(),
    "datamagic": lambda store: DataMagicService((store,)),
    "snoopy": lambda _store: SnoopyService(),
    "cpclean": lambda _store: CPCleanService(),
    "market": lambda _store: MarketService(),
    "advisor": lambda store: AdvisorService(store, MAX_ARTIFACT),
}
"""Service name -> how it is made, given the URI of the artifact store."""

TO_ITSELF = {
    ("snoopy", FEASIBILITY.name),
    ("cpclean", CLEANING.name),
    ("market", VALUES.name),
    ("labels", ANSWERS.name),
}
"""Service and topic on which nobody but the service itself says anything to it."""
OWN = {("automl", TrialRequested), ("automl", TrialAssigned)}
"""Service and payload that nobody but the service itself says, on a topic where others say something else to it."""
PARTITIONS = 2
START = 1_700_000_000.0
CLASSES = ("setosa", "versicolor", "virginica")
COLUMNS = tuple(
    Column(name, ColumnKind.NUMERIC) for name in ("sepal_length", "sepal_width", "petal_length", "petal_width")
)
APP = AppDefined(
    app="iris",
    label="species",
    classes=CLASSES,
    columns=COLUMNS,
    condition="n > 0.45 +/- 0.25",
    reliability=0.9,
    steps=4,
    label_budget=20,
    horizon=40,
    test_label_budget=40,
)
QUICK = (
    AlgorithmAnnounced("lda", "lda", "{}", 0.01),
    AlgorithmAnnounced("stump", "decision_tree", '{"max_depth": 1}', 0.01),
    AlgorithmAnnounced("tree", "decision_tree", '{"max_depth": 4}', 0.02),
)
OUTSIDER = "rule-of-thumb"
"""An external model: it publishes its predictions itself."""

LABELLED = 20
"""Test rows whose label comes with the data; the others are asked for."""
SIZES = {Pillar.TRAIN: 24, Pillar.VALIDATION: 16, Pillar.TEST: 50, Pillar.PRODUCTION: 60}
HERE = partition_of(APP.app, PARTITIONS)
ELSEWHERE = 1 - HERE


@dataclass(frozen=True, slots=True)
class Said:
    """Something that a user says."""

    topic: Topic
    data: Payload
    id: str


def frames() -> dict[Pillar, pd.DataFrame]:
    """Return iris, shuffled, cut into pillars; the index holds the row ids."""
    iris = load_iris()
    frame = pd.DataFrame(iris.data, columns=[column.name for column in COLUMNS])
    frame["species"] = np.array(CLASSES, object)[iris.target]
    frame = frame.iloc[np.random.default_rng(1).permutation(len(frame))]
    cuts = np.cumsum([0, *SIZES.values()])
    parts = {}
    for pillar, (start, stop) in zip(SIZES, pairwise(cuts), strict=True):
        parts[pillar] = frame.iloc[start:stop].set_axis([f"{pillar}-{i}" for i in range(stop - start)])
    return parts


FRAMES = frames()
TRUTH: dict[str, str] = {row: label for part in FRAMES.values() for row, label in part["species"].items()}


def rows(pillar: Pillar, start: int = 0, stop: int | None = None, app: str = APP.app) -> Said:
    """Return rows of a pillar as a user publishes them: without labels where labels must not travel."""
    part = FRAMES[Pillar.TRAIN if pillar is Pillar.POOL else pillar].iloc[start:stop]
    if pillar is Pillar.POOL:
        part = part.assign(species=None).set_axis([f"pool-{place}" for place in range(len(part))])
    if pillar in (Pillar.TEST, Pillar.PRODUCTION):
        part = part.assign(species=None)
    relation = Relation.from_frame(part, label=APP.label, classes=CLASSES, row_ids=tuple(part.index), columns=COLUMNS)
    (batch,) = relation.to_batches(app, pillar, "v1")
    return Said(PILLAR_TOPICS[pillar], batch, f"{pillar}-{start}")


def version(pillar: Pillar, count: int, app: str = APP.app) -> Said:
    return Said(DATA_VERSIONS, DataVersion(app, pillar, "v1", count, "0" * 64, "first"), f"version-{pillar}-{count}")


def truth_of_test(app: str = APP.app, labelled: int | None = None) -> Said:
    part = FRAMES[Pillar.TEST].iloc[:labelled]
    codes = np.array([CLASSES.index(label) for label in part["species"]], np.int32)
    return Said(DATA_TEST_LABELS, TestLabels(app, "v1", tuple(part.index), CLASSES, codes), "test-labels")


def introduction(app: AppDefined = APP) -> list[Said]:
    """Return what has to be said first: the app and the algorithms."""
    said = [Said(APPS, app, f"app-{app.app}")]
    return said + [Said(ALGORITHMS, algorithm, f"algorithm-{algorithm.algorithm}") for algorithm in QUICK]


def development(app: str = APP.app, *, labelled: int | None = None) -> list[Said]:
    """Return the rows and versions that lead to models and verdicts, with the labels of some test rows or of all."""
    pillars = (Pillar.TRAIN, Pillar.VALIDATION, Pillar.TEST)
    published = [*(rows(pillar, app=app) for pillar in pillars), truth_of_test(app, labelled)]
    return published + [version(pillar, SIZES[pillar], app) for pillar in pillars]


def outsider() -> list[Said]:
    """Return what an external model says about itself and all test rows: it knows one class only."""
    codes = np.zeros(SIZES[Pillar.TEST], np.int32)
    published = ModelPublished(
        APP.app, OUTSIDER, "none", "", "", 0, "external", ("petal_length",), CLASSES, "v1", "external"
    )
    guesses = PredictionBatch(APP.app, OUTSIDER, Pillar.TEST, tuple(FRAMES[Pillar.TEST].index), codes)
    return [Said(MODELS, published, "outsider"), Said(PREDICTIONS, guesses, "outsider-test")]


def unlabelled(pillar: Pillar, like: Pillar, kind: str) -> Said:
    """Return a small file for the pool or test pillar, one row of which does not fit: copies of those of another."""
    table = FRAMES[like].drop(columns="species").iloc[:6].astype(object)
    table.iloc[3, 1] = None
    table.iloc[4, 2] = "much"
    table["id"] = [f"{kind}-{place}" for place in range(len(table))]
    content = table.to_csv(index=False).encode()
    digest = hashlib.sha256(content).hexdigest()
    upload = Upload(APP.app, kind, f"{kind}.csv", digest, pillar=pillar, id_column="id", content=content)
    return Said(uploads_topic(pillar), upload, f"upload-{kind}")


def doubts() -> Said:
    """Return what a cleaner proposes for two training cells and a label, on which predictions depend."""
    batch = CandidateBatch(
        APP.app,
        Pillar.TRAIN,
        "cleaner@1",
        ("petal_width", "petal_length", APP.label),
        ("train-0", "train-3", "train-9"),
        ("0.2", "1.4", "1.4", "5.1", "setosa", "versicolor"),
        row=np.repeat(np.arange(3, dtype=np.int32), 2),
        column=np.repeat(np.arange(3, dtype=np.int32), 2),
        probability=np.array([0.25, 0.75] * 3),
    )
    return Said(CANDIDATES, batch, "candidates-train")


# -- the recording ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recording:
    """Every message of one life of the house, in the order of publication."""

    store: str
    records: tuple[Record, ...]

    def inputs(self, service: Service[Any]) -> list[Record]:
        """Return what others said to a service."""
        topics = set(Routes(service).topics)
        own = f"easeml/{service.name}".encode()
        return [r for r in self.records if r.topic in topics and header(r.headers, "ce_source") != own]

    def introduction(self) -> list[Record]:
        return [record for record in self.records if record.topic in (APPS.name, ALGORITHMS.name)]

    def events(self, *kinds: type) -> list[Event[Any]]:
        """Return the events of some payload types."""
        found = [event(record) for record in self.records if record.topic in BY_NAME]
        return [e for e in found if isinstance(e.data, kinds)] if kinds else found

    def specimen(self, topic: Topic, payload: type) -> Event[Any]:
        """Return the first recorded event of a payload type on a topic."""
        return next(e for e in self.events(payload) if e.topic == topic.name)


def record_house(store: str) -> Recording:
    """Let all services live through one day."""
    cluster = MemoryCluster([make(store) for make in ROOMS.values()], partitions=PARTITIONS, start=START)
    oracle = answers(cluster)

    def say(said: Iterable[Said]) -> None:
        for one in said:
            cluster.publish(one.topic, one.data, id=one.id)
        cluster.run()

    say(introduction())
    say(development(labelled=LABELLED))
    cluster.tick(12)  # a test set waits so long for labels that are still on their way
    say(outsider())
    for start in range(0, SIZES[Pillar.PRODUCTION], 10):
        say([rows(Pillar.PRODUCTION, start, start + 10)])
        cluster.tick()
        say(next(oracle))
    trial = next(e.data for e in cluster.events(TRIALS) if isinstance(e.data, TrialAssigned))
    say([Said(TRIALS, TrialProgress(APP.app, trial.trial, "elsewhere", 0.1), "progress")])
    models = [e.data.model for e in cluster.events(MODELS) if e.data.model != OUTSIDER]
    say([unlabelled(Pillar.TEST, Pillar.PRODUCTION, "hidden")])
    say([Said(MODELS, ModelRetired(APP.app, models[0], "its owner wants it"), "retired")])
    say([version(Pillar.TRAIN, SIZES[Pillar.TRAIN] + 1)])
    say([rows(Pillar.POOL), unlabelled(Pillar.POOL, Pillar.TRAIN, "spare"), doubts()])
    cluster.tick(4)
    say(next(oracle))
    cluster.tick(4)
    assert cluster.restarts == 0
    return Recording(store, tuple(cluster._order))


def answers(cluster: MemoryCluster) -> Iterator[list[Said]]:
    """Yield annotations that answer the questions nobody answered yet; the first one that may be is skipped."""
    done: set[str] = set()
    skipped = False
    while True:
        said = []
        for asked in (e.data for topic in (QUESTIONS, CI_QUESTIONS) for e in cluster.events(topic)):
            if asked.question not in done:
                value = asked.candidates.index(truth_of(asked.row_id, asked.column))
                if asked.pillar is not Pillar.TEST and not skipped:
                    said.append(annotation(asked, -1, "ada"))
                    skipped = True
                said.append(annotation(asked, value, "bob"))
                done.add(asked.question)
        yield said


def truth_of(row: str, column: str | None) -> str:
    """Return a label, or a cell of a training or pool row, as answers name it; all pool rows are those of train."""
    row = re.sub("^hidden-", "production-", re.sub("^(pool|spare)-", "train-", row))
    return TRUTH[row] if column is None else str(FRAMES[Pillar.TRAIN].loc[row, column])


def annotation(asked: Any, value: int, annotator: str) -> Said:
    name = f"{annotator}/{asked.question}"
    topic = CI_ANSWERS if asked.pillar is Pillar.TEST else ANNOTATIONS
    return Said(topic, Annotation(asked.app, asked.question, annotator, name, value), name)


def header(headers: Headers, name: str) -> bytes | None:
    return dict(headers).get(name)


def event(record: Record) -> Event[Any]:
    """Decode a record."""
    return envelope.parse(record)


# -- one service alone -----------------------------------------------------------------------------------------------


def traceparent(identity: bytes) -> bytes:
    """Return a trace context of its own for every event id."""
    digest = hashlib.sha256(identity).hexdigest()
    return f"00-{digest[:32]}-{digest[-16:]}-01".encode()


class Alone:
    """One service on a cluster of its own, fed with recorded messages.

    Parameters
    ----------
    name : str
        Service, by its name in ``ROOMS``.
    recording : Recording
        The recorded house.
    options
        Of the MemoryCluster.
    """

    def __init__(self, name: str, recording: Recording, **options: Any) -> None:
        self.name = name
        self.service = ROOMS[name](recording.store)
        self.recording = recording
        self.topics = {topic.name for topic in self.service.produces()}
        self.inputs = recording.inputs(self.service)
        self.fed: list[Record] = []
        self.cluster = MemoryCluster([self.service], partitions=PARTITIONS, start=START, **options)
        self.put(recording.introduction())

    def put(self, records: Iterable[Record], *, identity: str | None = None) -> None:
        """Publish recorded messages again, byte by byte, each under a trace of its own."""
        for record in records:
            headers = dict(record.headers)
            if "ce_id" in headers:
                headers["ce_id"] = identity.encode() if identity else headers["ce_id"]
                headers["traceparent"] = traceparent(headers["ce_id"])
            pairs = tuple(headers.items())
            self.cluster.publish_bytes(record.topic, record.value, record.key, pairs, record.partition)
            self.fed.append(dataclasses.replace(record, headers=pairs))

    def say(self, topic: Topic, data: Payload, identity: str) -> None:
        """Publish a payload of our own."""
        pairs = envelope.headers(EventId(identity), "easeml/test", data, START, traceparent(identity.encode()).decode())
        partition = partition_of(envelope.partition_key(data), PARTITIONS)
        self.put([Record(topic.name, partition, 0, topic.key(data).encode(), codec.encode(data), tuple(pairs))])

    def live(self, chunk: int = 5) -> Alone:
        """Feed everything the service is to hear, some messages at a time."""
        for start in range(0, len(self.inputs), chunk):
            self.put(self.inputs[start : start + chunk])
            self.cluster.run()
        return self

    # -- what came of it ---------------------------------------------------------------------------------------------

    def written(self) -> list[Record]:
        """Return everything the service published, repetitions included."""
        own = f"easeml/{self.name}".encode()
        return [r for r in self.cluster._order if r.topic in BY_NAME and header(r.headers, "ce_source") == own]

    def outputs(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return topic -> (id, key, payload bytes, headers) in order; a repetition under its id must be the same."""
        found: dict[str, dict[str, tuple[Any, ...]]] = {}
        for record in self.written():
            identity = (header(record.headers, "ce_id") or b"").decode()
            made = (identity, record.partition, record.key, comparable(record), record.headers)
            assert found.setdefault(record.topic, {}).setdefault(identity, made) == made
        return {topic: list(made.values()) for topic, made in found.items()}

    def state(self, app: str = APP.app) -> Stored | None:
        """Return the packed state of the app."""
        if app not in self.apps():
            return None
        return Stored.freeze(self.service.pack(self.cluster.state(self.name, app)))

    def apps(self) -> set[str]:
        lanes = self.cluster._instances[self.name].lanes.values()
        return {app for lane in lanes for app in lane.processor.apps}

    def letters(self) -> list[Any]:
        """Return the dead letters of all topics."""
        return [letter for topic in Routes(self.service).topics for letter in self.cluster.dead_letters(topic)]

    def end(self) -> tuple[Any, ...]:
        """Return all that counts: states and outputs."""
        return self.state(), self.outputs()


def comparable(record: Record) -> bytes:
    """Return the bytes of a message without CPU times and offsets: a job that is repeated takes another time, messages
    that are given up take offsets; nothing else may differ.
    """
    assert record.value is not None
    data = codec.decode(record.value)
    if isinstance(data, TrialFinished):
        data = dataclasses.replace(data, cost_seconds=0.0)
    elif isinstance(data, TrialAssigned):
        data = dataclasses.replace(data, seen={})
    elif isinstance(data, ModelPublished):
        data = dataclasses.replace(data, metrics=data.metrics | {"cpu_seconds": 0.0})
    else:
        return record.value
    return codec.encode(data)


def lines(name: str) -> list[tuple[Topic, type]]:
    """Return topic and payload of what others say to a service, the clock apart."""
    table = ROOMS[name]("memory://none").table()
    heard = dict.fromkeys((line.topic, line.payload) for line in table if line.payload is not Tick)
    return [(t, payload) for t, payload in heard if (name, t.name) not in TO_ITSELF and (name, payload) not in OWN]


UUID5 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
