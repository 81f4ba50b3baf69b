"""The CI service on the in-memory kernel: an app, models that guess, and what tests say and hear."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from easeml.ci.service import CIService
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import (
    AppDefined,
    Column,
    ColumnKind,
    ModelPublished,
    Payload,
    Pillar,
    PredictionBatch,
    RelationBatch,
    TestLabels,
)
from easeml.stream.topics import APPS, DATA_TEST, DATA_TEST_LABELS, MODELS, PREDICTIONS, Topic

N = 600
CLASSES = ("a", "b", "c")
APP = AppDefined(
    "churn",
    "y",
    CLASSES,
    (Column("x", ColumnKind.NUMERIC),),
    condition="n - o > 0 +/- 0.1",
    reliability=0.9,
    steps=3,
)
TRUTH = np.random.default_rng(0).integers(3, size=3000).astype(np.int32)
"""The class of each row; row 7 is named "7"."""


def guesses(accuracy: float, seed: int = 1) -> np.ndarray:
    """Return predictions of all rows, of which a share is right."""
    rng = np.random.default_rng(seed)
    wrong = (TRUTH + rng.integers(1, 3, size=len(TRUTH))) % 3
    return np.where(rng.random(len(TRUTH)) < accuracy, TRUTH, wrong).astype(np.int32)


def published(name: str, accuracy: float | None = None) -> ModelPublished:
    """Return a model that somebody else trained."""
    known = ModelPublished("churn", name, "tree", "", "", 0, "external", ("x",), CLASSES, "v1", "external")
    return dataclasses.replace(known, metrics={} if accuracy is None else {"accuracy": accuracy})


def batches(
    name: str, codes: np.ndarray, rows: Sequence[str], pillar: Pillar = Pillar.TEST
) -> Iterator[PredictionBatch]:
    """Yield what a model says about rows."""
    for at in range(0, len(rows), 250):
        yield PredictionBatch("churn", name, pillar, tuple(rows[at : at + 250]), codes[at : at + 250])


class House:
    """A cluster with the CI service and an app."""

    def __init__(self, app: AppDefined = APP, **options: Any) -> None:
        self.service = CIService()
        self.cluster = MemoryCluster([self.service], **options)
        self.sent = 0
        self.publish(APPS, app)

    def publish(self, topic: Topic, data: Payload) -> None:
        # ids of our own, so that a restarted house sees the same events as an undisturbed one
        self.sent += 1
        self.cluster.publish(topic, data, id=f"event-{self.sent}")

    def labels(self, rows: range = range(N), codes: np.ndarray = TRUTH, classes: tuple[str, ...] = CLASSES) -> None:
        for at in range(0, len(rows), 200):
            part = rows[at : at + 200]
            batch = TestLabels("churn", "v1", tuple(map(str, part)), classes, codes[part.start : part.stop])
            self.publish(DATA_TEST_LABELS, batch)

    def rows(self, app: AppDefined, codes: np.ndarray, rows: range | None = None) -> None:
        """Publish test rows: of each the codes of its categorical and boolean columns, shape (rows, columns)."""
        kinds = [column.kind for column in app.columns]
        rows = range(len(codes)) if rows is None else rows
        for at in range(0, len(rows), 250):
            part = rows[at : at + 250]
            batch = RelationBatch(
                "churn",
                Pillar.TEST,
                "v1",
                app.columns,
                tuple(map(str, part)),
                codes=codes[part.start : part.stop].astype(np.int32).ravel(),
                numeric=np.zeros(len(part) * kinds.count(ColumnKind.NUMERIC)),
            )
            self.publish(DATA_TEST, batch)

    def model(self, name: str, accuracy: float | None = None) -> None:
        self.publish(MODELS, published(name, accuracy))

    def predictions(self, name: str, codes: np.ndarray, rows: range = range(N), pillar: Pillar = Pillar.TEST) -> None:
        for batch in batches(name, codes[rows.start : rows.stop], list(map(str, rows)), pillar):
            self.publish(PREDICTIONS, batch)

    def said(self, topic: Topic, kind: type = object) -> list[Any]:
        return [event.data for event in self.cluster.events(topic) if isinstance(event.data, kind)]
