"""What the house has to do meanwhile: apps with models, production rows, uploads, answers; and what of it was acked.

The rows are three clouds of four numbers; the number in a row's name tells its class, so an oracle can answer.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter, deque
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import pandas as pd
from chaos_house import PARTITIONS

from easeml.errors import UnavailableError
from easeml.ids import EventId
from easeml.relation import Relation
from easeml.stream.payloads import (
    Annotation,
    AppDefined,
    Column,
    ColumnKind,
    DataVersion,
    ModelPublished,
    ModelRetired,
    Payload,
    Pillar,
    Question,
    TestLabels,
    Upload,
)
from easeml.stream.publisher import EventPublisher
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import (
    ANNOTATIONS,
    APPS,
    CI_ANSWERS,
    CI_QUESTIONS,
    DATA_TEST_LABELS,
    DATA_VERSIONS,
    MODELS,
    PILLAR_TOPICS,
    QUESTIONS,
    UPLOADS,
    Topic,
    partition_of,
)

LABEL = "kind"
CLASSES = ("red", "green", "blue")
COLUMNS = tuple(Column(name, ColumnKind.NUMERIC) for name in "abcd")
SIZES = {Pillar.TRAIN: 45, Pillar.VALIDATION: 30, Pillar.TEST: 60}
LABELLED = 30
"""Test rows whose label comes with the data; the others are asked for."""
ORACLE = "ada"
_CENTRES = np.array([[0, 0, 0, 0], [2, 1, 0, 1], [0, 2, 2, 0]], float)


def truth(row_id: str) -> str:
    """Return the label of a row."""
    return CLASSES[int(row_id.rpartition("-")[2]) % len(CLASSES)]


def frame(tag: str, numbers: range) -> pd.DataFrame:
    """Return rows with their labels; the index holds their names."""
    rng = np.random.default_rng([*tag.encode(), numbers.start])
    codes = np.array(numbers) % len(CLASSES)
    table = pd.DataFrame(_CENTRES[codes] + rng.normal(size=(len(codes), len(COLUMNS))), columns=list("abcd"))
    table[LABEL] = np.array(CLASSES, object)[codes]
    return table.set_axis([f"{tag}-{number}" for number in numbers])


@dataclass(frozen=True)
class Rates:
    """Production messages a second, rows in each, questions skipped a second, seconds to the next new app or upload."""

    messages: float
    rows: int
    skips: float
    new_app: float
    upload: float = 2.0


class Load(AbstractContextManager["Load"]):
    """A thread that says everything; ``stop`` ends the rows, closing it ends the answers too.

    Parameters
    ----------
    settings : Settings
        The house.
    apps : int
        Apps with production rows.
    kept : int
        Models of an app that score at a time; when one more comes, the oldest is retired.
    rates : Rates
        How much is said.
    """

    def __init__(self, settings: Settings, apps: int, kept: int, rates: Rates) -> None:
        self.rates = rates
        self._kept = kept
        names = [f"chaos{number}" for number in range(4 * apps)]
        names.sort(key=lambda name: partition_of(name, PARTITIONS))
        self.apps = names[:: len(names) // apps]  # on all partitions alike
        self.acked: Counter[str] = Counter()
        """Messages that the broker took, by topic."""
        self.failure: BaseException | None = None
        self.rows = threading.Event()
        """While set, production rows and uploads are sent, and new apps come."""
        self.held = False
        """While true, nothing is sent: the services are too far behind."""
        self._publisher = EventPublisher(settings, "chaos", timeout=120.0)
        self._reader = TopicReader(settings, [QUESTIONS.name, CI_QUESTIONS.name, MODELS.name])
        self._done = threading.Event()
        self._answered: set[str] = set()
        self._asked: deque[Question] = deque(maxlen=100)
        self._sent = self._uploads = self._newcomers = self._wanted = self._skipped = 0
        self._models: dict[str, list[str]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join(150)
        self._reader.close()

    def say(self, topic: Topic, data: Payload, identity: str) -> None:
        """Send an event; it is counted once the broker has it."""
        self._publisher.send(topic, data, event_id=EventId(identity))
        self.acked[topic.name] += 1  # ``flush`` raises where this turns out wrong

    def introduce(self, name: str) -> None:
        """Define an app and send its rows and labels."""
        self.say(
            APPS,
            AppDefined(
                name, LABEL, CLASSES, COLUMNS, condition="n > 0.3 +/- 0.3", reliability=0.9, adaptivity="none",
                steps=60, label_budget=2000, horizon=100_000, test_label_budget=LABELLED,
            ),
            f"app-{name}",
        )  # fmt: skip
        for pillar, count in SIZES.items():
            table = frame(f"{name}-{pillar}", range(count))
            if pillar is Pillar.TEST:
                known = [CLASSES.index(label) for label in table[LABEL][:LABELLED]]
                labels = TestLabels(name, "v1", tuple(table.index[:LABELLED]), CLASSES, np.array(known, np.int32))
                self.say(DATA_TEST_LABELS, labels, f"labels-{name}")
                table = table.assign(**{LABEL: None})
            self._batches(name, pillar, table, f"{name}-{pillar}")
            self.say(
                DATA_VERSIONS, DataVersion(name, pillar, "v1", count, "0" * 64, "first"), f"version-{name}-{pillar}"
            )

    def _batches(self, name: str, pillar: Pillar, table: pd.DataFrame, identity: str) -> None:
        rows = Relation.from_frame(table, label=LABEL, classes=CLASSES, row_ids=tuple(table.index), columns=COLUMNS)
        (batch,) = rows.to_batches(name, pillar, "v1")
        self.say(PILLAR_TOPICS[pillar], batch, identity)

    def start(self) -> None:
        for name in self.apps:
            self.introduce(name)
        self._publisher.flush()
        self._thread.start()

    def burst(self, messages: int) -> None:
        """Let the thread send so many production messages as fast as it can."""
        self._wanted = messages
        while self._wanted and self.failure is None:
            time.sleep(0.01)

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.failure = error
            raise

    def _work(self) -> None:
        begun = upload_at = app_at = time.monotonic()
        app_at += self.rates.new_app
        count = skipped = 0
        while not self._done.is_set():
            now = time.monotonic()
            if self.held or not self.rows.is_set():
                begun, count, skipped, upload_at, app_at = now, 0, 0, now, max(app_at, now)
            while self._wanted:
                self._produce()
                self._wanted -= 1
            while self._flows and count < (now - begun) * self.rates.messages:
                self._produce()
                count += 1
            while self._flows and self._asked and skipped < (now - begun) * self.rates.skips:
                self._skip()
                skipped += 1
            if now >= upload_at and self._flows:
                upload_at = now + self.rates.upload
                self._upload()
            if now >= app_at and self._flows:
                app_at = now + self.rates.new_app
                self._newcomers += 1
                self.introduce(f"newcomer{self._newcomers}")
            self._answer()
            self._publisher.flush()

    @property
    def _flows(self) -> bool:
        return self.rows.is_set() and not self.held

    def _produce(self) -> None:
        name = self.apps[self._sent % len(self.apps)]
        first = self._sent * self.rates.rows
        table = frame(f"{name}-row", range(first, first + self.rates.rows)).assign(**{LABEL: None})
        self._batches(name, Pillar.PRODUCTION, table, f"row-{name}-{first}")
        self._sent += 1

    def _upload(self) -> None:
        """Send a file with two rows for the pool or for training."""
        self._uploads += 1
        name, pillar = self.apps[self._uploads % len(self.apps)], (Pillar.POOL, Pillar.TRAIN)[self._uploads % 20 == 0]
        table = frame(f"{name}-file", range(2 * self._uploads, 2 * self._uploads + 2))
        table = table if pillar is Pillar.TRAIN else table.drop(columns=LABEL)
        content = table.rename_axis("id").reset_index().to_csv(index=False).encode()
        upload = Upload(
            name, f"file{self._uploads}", f"{pillar}.csv", hashlib.sha256(content).hexdigest(),
            pillar=pillar.value, id_column="id", content=content,
        )  # fmt: skip
        self.say(UPLOADS, upload, f"upload-{self._uploads}")

    def _answer(self) -> None:
        try:
            asked = self._reader.events(timeout=0.02)
        except UnavailableError:  # the broker is away; it says so again when it is back
            return
        for event in asked:
            if isinstance(event.data, ModelPublished):
                self._make_room(event.data)
            elif isinstance(event.data, Question) and event.data.question not in self._answered:
                self._answered.add(event.data.question)
                if event.data.pillar is not Pillar.TEST:
                    self._asked.append(event.data)
                self._reply(event.data)

    def _skip(self) -> None:
        """Let one of many readers pass over a question, open or answered."""
        self._skipped += 1
        question, reader = self._asked[self._skipped % len(self._asked)], f"reader{self._skipped % 20}"
        identity = f"{reader}/{self._skipped}"
        self.say(ANNOTATIONS, Annotation(question.app, question.question, reader, identity, -1), identity)

    def _make_room(self, model: ModelPublished) -> None:
        """Retire the oldest model of an app that has more than are wanted."""
        known = self._models.setdefault(model.app, [])
        if model.model not in known:
            known.append(model.model)
        if len(known) > self._kept:
            name = known.pop(0)
            self.say(MODELS, ModelRetired(model.app, name, "there are newer ones"), f"retired-{model.app}-{name}")

    def _reply(self, question: Question) -> None:
        value = question.candidates.index(truth(question.row_id)) if question.column is None else 0
        topic = CI_ANSWERS if question.pillar is Pillar.TEST else ANNOTATIONS
        identity = f"{ORACLE}/{question.question}"
        self.say(topic, Annotation(question.app, question.question, ORACLE, identity, value), identity)

    def settled(self) -> bool:
        """Return whether every app has the models it shall have."""
        return all(len(self._models.get(name, ())) >= self._kept for name in self.apps)
