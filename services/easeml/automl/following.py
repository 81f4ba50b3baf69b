"""Models that go on learning after their trial: river's, with each label that comes later.

A new version is a pure function of the rows of the trial, as they are known now, and of the rows learnt since, in
order: whoever dies begins again with the same result. The worker process keeps the learners it used last, so that as a
rule a label costs one step of learning and one frozen copy.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from easeml.artifacts import ArtifactStore, Classifier, Encoder, dump
from easeml.artifacts.compound import Pipeline
from easeml.artifacts.steps import Step
from easeml.automl.ensemble import score
from easeml.automl.families import Prepared, build, parse_parameters
from easeml.automl.incremental import Online, learn
from easeml.automl.limits import cpu_limit, memory_limit
from easeml.automl.race import refusal, single_threaded
from easeml.automl.trial import Labelled, Result, cpu_seconds_of, labelled, memory_of, seed_of
from easeml.errors import Busy, ConfigurationError, UnavailableError
from easeml.ids import ModelId
from easeml.relation.arrivals import Arrivals
from easeml.stream.payloads import Answer, AppDefined, Column, Pillar, QuestionKind, RelationBatch, TrialAssigned

_KEPT = 16
"""Learners that a worker process keeps: a tree holds some megabytes."""


class Lesson(NamedTuple):
    """All that a new version follows from.

    Parameters
    ----------
    trial : TrialAssigned
        What was trained.
    base : Labelled
        Rows of the trial.
    later : Labelled
        Rows to learn after them, in order.
    validation : Labelled
        Rows to judge by.
    columns, classes : tuple
        Feature columns and label domain of the app.
    store : tuple of (str, int)
        URI of the artifact store and the bytes a model file may have.
    """

    trial: TrialAssigned
    base: Labelled
    later: Labelled
    validation: Labelled
    columns: tuple[Column, ...]
    classes: tuple[str, ...]
    store: tuple[str, int]


@dataclass
class Followed:
    """A model that goes on learning.

    Parameters
    ----------
    trial : TrialAssigned
        The trial that made its first version.
    model : ModelId
        Its newest version.
    every : int
        Labels between two versions.
    learnt : list of str
        Row ids whose labels came since, in order.
    published : int
        How many of them the newest version has learnt.
    """

    trial: TrialAssigned
    model: ModelId
    every: int
    learnt: list[str] = field(default_factory=list)
    published: int = 0

    def fresh(self, said: RelationBatch | Answer, rows: Arrivals, app: AppDefined) -> list[str]:
        """Return the training rows that have a label now that this was said, and that were not learnt yet."""
        if said.pillar is not Pillar.TRAIN:
            return []
        if isinstance(said, Answer):
            return self.known((said.row_id,) if said.kind is QuestionKind.LABEL else (), rows, app)
        had = min(self.trial.train_rows, rows.count(app))
        first = set(rows.first(app, had).row_ids) if had else set()
        told = zip(said.row_ids, said.labels.tolist(), strict=True)
        return self.known([row_id for row_id, code in told if code >= 0 and row_id not in first], rows, app)

    def known(self, row_ids: Sequence[str], rows: Arrivals, app: AppDefined) -> list[str]:
        """Return those of these rows that are here, have a label and were not learnt after the trial."""
        learnt = set(self.learnt)
        here = rows.some(app, [row_id for row_id in row_ids if row_id not in learnt])
        if here is None:
            return []
        return [row_id for row_id, code in zip(here.row_ids, here.labels.tolist(), strict=True) if code >= 0]

    def lesson(
        self, fresh: list[str], rows: Arrivals, validation: Arrivals, app: AppDefined, store: tuple[str, int]
    ) -> Lesson | None:
        """Return what the next version follows from, these rows learnt too; None while it is not due."""
        trial, learnt = self.trial, [row_id for row_id in [*self.learnt, *fresh] if rows.holds(app, row_id)]
        if len(self.learnt) + len(fresh) - self.published < self.every or not learnt:
            return None
        if rows.count(app) < trial.train_rows or validation.count(app) < trial.validation_rows:
            return None  # the app was defined anew since
        base = rows.first(app, trial.train_rows)
        frame, labels = labelled(base)
        labels = labels.copy()
        places = {row_id: place for place, row_id in enumerate(base.row_ids)}
        for row_id in learnt:
            # What somebody answered since is learnt after the rows of the trial, not among them.
            before = rows.row(app, row_id, answers=False) if row_id in places else None
            if before is not None:
                labels[places[row_id]] = labelled(before).labels[0]
        later = rows.some(app, learnt)
        assert later is not None
        judged = labelled(validation.first(app, trial.validation_rows))
        return Lesson(trial, Labelled(frame, labels), labelled(later), judged, app.columns, app.classes, store)


def follows(trial: TrialAssigned) -> int:
    """Return after how many labels the model of a trial has its next version; 0: never.

    What was drawn in possible worlds does not go on: a row that becomes known would belong to all of them.
    """
    try:
        values = parse_parameters(trial.family, trial.parameters)
    except ConfigurationError:
        return 0  # its trial says what is wrong
    return 0 if values.get("worlds", 0) else int(values.get("follow", 0))


def taught(lessons: dict[str, Lesson]) -> dict[str, Result]:
    """Return the new version of each algorithm; a failure of one is its result.

    Raises
    ------
    Busy
        When the artifact store cannot be written.
    """
    return {algorithm: _taught(lesson) for algorithm, lesson in lessons.items()}


def _taught(lesson: Lesson) -> Result:
    trial, began = lesson.trial, time.process_time()
    try:
        with single_threaded(), cpu_limit(cpu_seconds_of(trial)), memory_limit(memory_of(trial)):
            model = _model(lesson)
            known = lesson.validation.labels >= 0
            truth = lesson.validation.labels[known].astype(np.int64)
            accuracy, log_loss = score(model.predict_proba(lesson.validation.frame[known]), truth)
            stored = ArtifactStore(*lesson.store).put(dump(model))
    except UnavailableError as error:
        raise Busy(error.message, mend=error.mend) from error
    except Exception as error:
        # An algorithm may raise anything on rows it was not made for; its version before this one stays.
        return Result(time.process_time() - began, error=refusal(trial.algorithm, trial.family, error))
    seconds = time.process_time() - began
    metrics = {
        "accuracy": accuracy,
        "log_loss": log_loss,
        "cpu_seconds": seconds,
        "train_rows": float(trial.train_rows),
        "validation_rows": float(trial.validation_rows),
        "later_rows": float(len(lesson.later.labels)),
    }
    return Result(seconds, stored, metrics)


def _model(lesson: Lesson) -> Classifier:
    known = lesson.base.labels >= 0
    frame, codes = lesson.base.frame[known], lesson.base.labels[known].astype(np.int64)
    estimator = build(lesson.trial.family, lesson.trial.parameters, seed_of(lesson.trial.trial))
    encoder = Encoder().fit(frame, lesson.columns)
    matrix, later = encoder.transform(frame), encoder.transform(lesson.later.frame)
    steps: list[Step] = []
    if isinstance(estimator, Prepared):
        steps, matrix = estimator.prepare(matrix, codes)
        estimator = estimator.estimator
        for step in steps:
            later = step.apply(later)
    assert isinstance(estimator, Online)
    learner = _learner(lesson.trial, estimator, (matrix, codes), (later, lesson.later.labels.astype(np.int64)))
    frozen = estimator.freeze(learner, matrix.shape[1])
    return Classifier(encoder, Pipeline(steps, frozen) if steps else frozen, lesson.classes)


Rows = tuple[NDArray[np.float64], NDArray[np.int64]]
_LEARNERS: OrderedDict[str, tuple[Any, list[bytes]]] = OrderedDict()
"""What this process taught last: by trial and base rows, a learner and the rows it has learnt since."""


def _learner(trial: TrialAssigned, estimator: Online, base: Rows, later: Rows) -> Any:
    """Return a learner that has seen the rows of the trial and then each later one, if possible one at hand."""
    key = hashlib.sha256(trial.trial.encode() + base[0].tobytes() + base[1].tobytes()).hexdigest()
    rows = [matrix.tobytes() + code.tobytes() for matrix, code in zip(*later, strict=True)]
    learner, seen = _LEARNERS.pop(key, (None, []))
    if learner is None or seen != rows[: len(seen)]:
        learner, seen = estimator.begin(), []
        learn(learner, *base, estimator.passes)
    for place in range(len(seen), len(rows)):
        learn(learner, later[0][place : place + 1], later[1][place : place + 1], estimator.passes)
    _LEARNERS[key] = (learner, rows)
    while len(_LEARNERS) > _KEPT:
        _LEARNERS.popitem(last=False)
    return learner
