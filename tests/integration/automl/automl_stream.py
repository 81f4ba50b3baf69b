"""DataMagic, the scheduler and a trainer as processes on a real broker: files in, models out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2] / "contract"))

from street import Street

from easeml.artifacts import ArtifactStore, Classifier, load
from easeml.client import Client
from easeml.relation import Relation
from easeml.stream.payloads import AlgorithmAnnounced, ModelPublished, Pillar, RelationBatch, TrialFinished
from easeml.stream.topics import MODELS, PILLAR_TOPICS, TRIALS

UPLOADED_WITHIN = 90.0


class AutoMLStreet(Street):
    """A context manager; ``EASEML_PARTITIONS`` has to say PARTITIONS of the street, for its client."""

    def start(self, names=("datamagic", "automl", "trainer")):
        super().start(names)

    def __enter__(self) -> Self:
        super().__enter__()
        self.client = Client(self.settings.bootstrap_servers, home=self.home)
        return self

    def __exit__(self, *error):
        self.client.close()
        super().__exit__(*error)

    def train(
        self, app: str, label: str, pillars: dict[Pillar, pd.DataFrame], algorithms: Sequence[AlgorithmAnnounced]
    ) -> dict[str, ModelPublished]:
        """Upload the rows of an app, and return the model of every algorithm once all trials have ended."""
        self.client.announce(algorithms)
        self.client.create_app(app, label=label, frame=pd.concat(pillars.values()))
        for pillar, frame in pillars.items():
            self.client.upload(app, frame, pillar, wait=UPLOADED_WITHIN)
        for count in range(1, len(algorithms) + 1):
            self.until(lambda count=count: len(self.ended(app)) >= count)
        return {model.algorithm: model for model in self._said(app, MODELS.name, ModelPublished)}

    def ended(self, app: str) -> dict[str, TrialFinished]:
        """Return the ended trials of an app, by algorithm."""
        return {end.algorithm: end for end in self._said(app, TRIALS.name, TrialFinished)}

    def rows(self, app: str, pillar: Pillar) -> Relation:
        """Return the rows of a pillar in the order in which they came, as a trial takes them."""
        relation = self.client.relation(app, pillar)
        came = [row for batch in self._said(app, PILLAR_TOPICS[pillar].name, RelationBatch) for row in batch.row_ids]
        return relation.take(np.array([relation.row_ids.index(row) for row in came]))

    def load(self, model: ModelPublished) -> Classifier:
        """Return a published model, as serving loads it."""
        store = ArtifactStore(self.client.settings.store_uri, self.client.settings.max_artifact_bytes)
        return load(store.get(model.uri, model.sha256))

    def _said(self, app, topic, kind):
        return [event.data for event in self.events(topic) if event.app == app and isinstance(event.data, kind)]
