import dataclasses
import time

import numpy as np
import pytest
from automl.conftest import CLASSES, COLUMNS, LOGISTIC, TREE, Town, rows

from easeml.artifacts import ArtifactStore, dump
from easeml.automl.service import AutoMLService
from easeml.automl.trainer import TrainerService
from easeml.automl.training import train
from easeml.serving.service import ServingService
from easeml.stream.payloads import ModelPublished, Pillar, PredictionBatch
from easeml.stream.topics import DATA_PRODUCTION, DATA_TEST, MODELS, PREDICTIONS


class Harbour(Town):
    """A town with a serving service and models made by hand."""

    def __init__(self, tmp_path, *, with_training=False, **options) -> None:
        uri = (tmp_path / "store").as_uri()
        self.serving = ServingService(uri, 10_000_000)
        others = [AutoMLService(), TrainerService(uri, 10_000_000)] if with_training else []
        super().__init__(tmp_path, (LOGISTIC, TREE), [self.serving, *others], **options)
        self.store = ArtifactStore(self.store_uri, 10_000_000)

    def classifier(self, family="logistic", classes=CLASSES, columns=COLUMNS):
        frame = rows(40, 1, "t")
        codes = np.array([classes.index(label) if label in classes else -1 for label in frame["label"]])
        return train(
            frame, codes, frame, codes, columns=columns, classes=classes, family=family, parameters="{}", seed=0,
            clock=time.process_time,
        ).model  # fmt: skip

    def model(self, name="m1", classifier=None, **changes) -> ModelPublished:
        classifier = classifier or self.classifier()
        stored = self.store.put(dump(classifier))
        published = ModelPublished(
            "churn", name, "hand", stored.uri, stored.sha256, stored.size, "skops", classifier.columns,
            classifier.classes, "v1", "automl", {"accuracy": 0.9},
        )  # fmt: skip
        return dataclasses.replace(published, **changes)

    def publish_model(self, name="m1", classifier=None, **changes) -> ModelPublished:
        published = self.model(name, classifier, **changes)
        self.cluster.publish(MODELS, published)
        self.cluster.run()
        return published

    def test_rows(self, count=10, seed=3, prefix="e"):
        self.rows(Pillar.TEST, rows(count, seed, prefix))

    def production(self, count=10, seed=4, prefix="p"):
        self.rows(Pillar.PRODUCTION, rows(count, seed, prefix))

    def predictions(self, model=None, pillar=None) -> list[PredictionBatch]:
        return [
            event.data
            for event in self.cluster.events(PREDICTIONS)
            if model in (None, event.data.model) and pillar in (None, event.data.pillar)
        ]

    def predicted(self, model, pillar) -> dict[str, int]:
        return {
            row: int(label)
            for batch in self.predictions(model, pillar)
            for row, label in zip(batch.row_ids, batch.labels, strict=True)
        }

    def letters(self, topic=None) -> list[str]:
        topics = [topic] if topic else [MODELS, DATA_TEST, DATA_PRODUCTION]
        return [letter.reason for one in topics for letter in self.cluster.dead_letters(one)]


@pytest.fixture
def harbour(tmp_path):
    return Harbour(tmp_path)
