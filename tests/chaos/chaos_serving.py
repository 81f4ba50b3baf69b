"""Whether serving did what a batch would: each row scored once by each live model, as the model itself says."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any

import numpy as np
from chaos_checks import Evidence, Verdicts
from house import MAX_ARTIFACT

from easeml.artifacts import ArtifactStore
from easeml.relation import Block, features
from easeml.serving.live import LiveModels, Model
from easeml.stream.events import Event
from easeml.stream.payloads import (
    AppDefined,
    ModelPublished,
    ModelRetired,
    Pillar,
    PredictionBatch,
    RelationBatch,
    Verdict,
)
from easeml.stream.topics import DATA_PRODUCTION, DATA_TEST

SAMPLE = 60
"""Predictions that are made again by the model itself."""


def check_serving(evidence: Evidence, store_uri: str, found: Verdicts) -> None:
    """Add what is wrong with the predictions."""
    scored = (DATA_PRODUCTION.name, DATA_TEST.name)
    rows = {event.id: event for event in evidence.of(RelationBatch) if event.topic in scored}
    models = {(event.app, event.data.model): event for event in evidence.of(ModelPublished) if event.data.uri}
    said: dict[tuple[str, str], list[Event[Any]]] = defaultdict(list)
    for event in evidence.of(PredictionBatch, "serving"):
        said[event.app, event.data.model].append(event)
    retired = {(e.app, e.data.model) for e in evidence.of(ModelRetired)}
    removed = retired | {(e.app, e.data.model) for e in evidence.of(Verdict) if e.data.guaranteed and not e.data.signal}
    for name, published in models.items():
        found.twice += _twice(said[name], name)
        if name not in retired:
            found.lost += _tests(rows.values(), said[name], published)
        found.lost += _production(rows.values(), said[name], published, removed=name in removed)
    _again(evidence, store_uri, rows, models, said, found)


def _twice(said: list[Event[Any]], name: tuple[str, str]) -> list[str]:
    counts = Counter((event.data.pillar, row) for event in said for row in event.data.row_ids)
    return [f"{row} was predicted {count} times by {name}" for (_, row), count in counts.items() if count > 1]


def _tests(rows: Any, said: list[Event[Any]], published: Event[Any]) -> list[str]:
    """Check that a model was shown every test row; one that is retired may have gone before they came."""
    wanted = {row for e in rows if e.topic == DATA_TEST.name and e.app == published.app for row in e.data.row_ids}
    shown = {row for e in said if e.data.pillar is Pillar.TEST for row in e.data.row_ids}
    return [f"{published.data.model} did not predict the test row {row}" for row in sorted(wanted - shown)]


def _production(rows: Any, said: list[Event[Any]], published: Event[Any], *, removed: bool) -> list[str]:
    """Check that a model predicted all batches from the first one after it joined to the last one while it lived.

    Those before the first one it was shown when it joined.
    """
    batches = [e for e in rows if e.topic == DATA_PRODUCTION.name and e.app == published.app]
    causes = {e.cause for e in said if e.data.pillar is Pillar.PRODUCTION}
    places = [place for place, event in enumerate(batches) if event.id in causes]
    first, end = (places[0], places[-1] + 1) if places else (len(batches), len(batches))
    if not removed:
        end = len(batches)
    missing = [batches[place].id for place in range(first, end) if batches[place].id not in causes]
    at_once = {row for e in said if e.cause == published.id for row in e.data.row_ids}
    before = [row for event in batches[:first] for row in event.data.row_ids]
    kept = 2000 if not removed or places else 0
    missing += [row for row in before[max(0, len(before) - kept) :] if row not in at_once]
    return [f"{published.data.model} did not predict {name}" for name in missing]


def _again(evidence: Evidence, store_uri: str, rows: Any, models: Any, said: Any, found: Verdicts) -> None:
    """Let models predict some batches again, here."""
    live = LiveModels(ArtifactStore(store_uri, MAX_ARTIFACT))
    apps = {event.app: event.data for event in evidence.of(AppDefined)}
    every = [event for name in models for event in said[name] if event.cause in rows]
    for event in random.Random(0).sample(every, min(SAMPLE, len(every))):
        m = models[event.app, event.data.model].data
        model = Model(m.model, m.uri, m.sha256, m.size, tuple(m.columns), tuple(m.classes))
        block = Block.from_batch(rows[event.cause].data)
        scored = live.score([model], features(block), apps[event.app].classes).good[m.model]
        same = np.array_equal(scored.labels, event.data.labels)
        if not (same and np.array_equal(scored.probabilities.ravel(), event.data.probabilities)):
            found.broken.append(f"{m.model} predicts {event.cause} otherwise than serving did")
