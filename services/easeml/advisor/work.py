"""What a worker process does for the service: find what is wrong, say what to do, and store adapted models."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier

from easeml.advisor.diagnosis import FEWEST, diagnose
from easeml.advisor.evidence import Cleaning, Evidence, Feasibility, Values, Verdicts
from easeml.advisor.learning import Learner, Sample, right
from easeml.advisor.ranking import advise
from easeml.advisor.steps import Step
from easeml.artifacts import ArtifactStore, Classifier, Stored, dump, load
from easeml.errors import ArtifactError, Busy, InvalidDataError, UnavailableError
from easeml.relation import Relation, features
from easeml.stream.payloads import AdviceAction, AdvicePhase, AdviceStep, Column

MOST_ROWS = 3000
"""Rows of a pillar that are looked at."""
NAMED_ROWS = 100


@dataclass(frozen=True)
class About:
    """What advice is about, as it stood when it was asked for.

    Parameters
    ----------
    phase : AdvicePhase
    model : str or None
        Name of the present model.
    newest : str or None
        Id of the newest production row; None: there is none, or production is not looked at.
    """

    phase: AdvicePhase
    model: str | None
    newest: str | None


@dataclass(frozen=True)
class Request:
    """What is asked of a worker.

    Parameters
    ----------
    about : About
    target : float
        Accuracy that the user wants.
    columns : tuple of Column
    classes : tuple of str
    train, validation : Relation, optional
        Rows and what is known of them.
    production : Relation, optional
        Recent rows with the answers there are.
    pool : int
        Unlabelled rows that the user has.
    model : (str, str), optional
        URI and digest of the present model's file; None: it has none that can be read here.
    seed : tuple of int
    feasibility, cleaning, values, verdicts
        Reports of other services.
    """

    about: About
    target: float
    columns: tuple[Column, ...]
    classes: tuple[str, ...]
    train: Relation | None
    validation: Relation | None
    production: Relation | None
    pool: int
    model: tuple[str, str] | None
    seed: tuple[int, ...]
    feasibility: Feasibility | None = None
    cleaning: Cleaning | None = None
    values: Values | None = None
    verdicts: Verdicts = Verdicts()


@dataclass(frozen=True)
class AdaptedFile:
    """An adapted model in the artifact store.

    Parameters
    ----------
    technique : str
    gain : float
        Accuracy that production is expected to gain.
    accuracy : float
        Accuracy of the model itself on the validation rows.
    stored : Stored
    """

    technique: str
    gain: float
    accuracy: float
    stored: Stored


@dataclass(frozen=True)
class Advised:
    """What a worker has found.

    Parameters
    ----------
    about : About
        That of the request.
    steps : tuple of AdviceStep
        The best first.
    adapted : tuple of AdaptedFile
        Adapted models that are worth a step of CI.
    diagnosed : bool
        Whether the data was looked at; False: rows are missing for that.
    """

    about: About
    steps: tuple[AdviceStep, ...]
    adapted: tuple[AdaptedFile, ...] = ()
    diagnosed: bool = True


def answer(request: Request, store: tuple[str, int]) -> Advised:
    """Return what to do next.

    Parameters
    ----------
    request : Request
    store : tuple of (str, int)
        URI of the artifact store and the bytes a model file may have.

    Raises
    ------
    Busy
        When the artifact store cannot be reached: asking again is worth while.
    """
    rng = np.random.default_rng(request.seed)
    try:
        train, validation = _held(request.train, "train"), _held(request.validation, "validation")
        known, judge = _sample(train), _sample(validation)
        files = ArtifactStore(*store)
        model = _usable(request, files, known)
        evidence = diagnose(
            Learner(_estimator(model), request.columns, request.classes),
            known,
            judge,
            target=request.target,
            rng=rng,
            model=model,
            production=None if request.production is None else _sample(request.production),
            pool=request.pool,
            feasibility=request.feasibility,
            cleaning=request.cleaning,
            values=request.values,
            verdicts=request.verdicts,
        )
        evidence, adapted = _stored(evidence, model, judge.labelled(), files)
    except UnavailableError as error:
        raise Busy(error.message, mend=error.mend) from error
    except InvalidDataError as error:
        return Advised(request.about, (_wait(error),), diagnosed=False)
    steps = advise(evidence, request.about.phase)
    if model is None and request.about.model is not None:
        note = f" The file of {request.about.model} cannot be used, so a model trained on the same rows was judged."
        steps = (replace(steps[0], reason=steps[0].reason + note), *steps[1:])
    names = {
        "train": train.row_ids,
        "production": () if request.production is None else request.production.row_ids,
        "pool": () if request.values is None else request.values.pool_rows,
    }
    return Advised(request.about, tuple(_payload(step, names[step.pillar]) for step in steps), adapted)


def drawn(relation: Relation | None, rng: np.random.Generator) -> Relation | None:
    """Return at most ``MOST_ROWS`` rows of a relation, in their order."""
    if relation is None or len(relation) <= MOST_ROWS:
        return relation
    return relation.take(np.sort(rng.choice(len(relation), MOST_ROWS, replace=False)))


def _held(relation: Relation | None, pillar: str) -> Relation:
    if relation is None:
        raise InvalidDataError(f"The pillar {pillar} holds no rows.", mend="Publish labelled rows.")
    return relation


def _usable(request: Request, files: ArtifactStore, known: Sample) -> Classifier | None:
    """Return the present model over the app's classes; None: its file cannot be read or does not fit the app."""
    if request.model is None:
        return None
    try:
        model = load(files.get(*request.model))
    except ArtifactError:
        return None  # the advice says so
    # Classes are only ever added behind those a model knows; in another order its codes mean something else.
    if model.classes != request.classes[: len(model.classes)]:
        return None
    model = Classifier(model.encoder, model.estimator, request.classes)
    try:
        model.predict_proba(known.frame.iloc[:FEWEST])
    except Exception:
        return None  # parts of a file that do not fit each other raise whatever they raise
    return model


def _stored(
    evidence: Evidence, model: Classifier | None, judge: Sample, files: ArtifactStore
) -> tuple[Evidence, tuple[AdaptedFile, ...]]:
    """Store the adapted models; those that cannot be, or adapt what nobody serves, leave the evidence."""
    seen = evidence.production
    if seen is None:
        return evidence, ()
    kept, stored = [], []
    for one in seen.adapted if model is not None else ():
        try:
            file = files.put(dump(one.model))
        except ArtifactError:
            continue  # too large a file to be served either
        kept.append(one)
        stored.append(AdaptedFile(one.technique, one.gain.value, float(right(one.model, judge).mean()), file))
    return replace(evidence, production=replace(seen, adapted=tuple(kept))), tuple(stored)


def _sample(relation: Relation) -> Sample:
    """Return rows as they were observed, missing cells missing, with the most probable labels."""
    labels = relation.most_probable_world().labels.astype(np.int64)
    return Sample(features(relation.block), labels if len(labels) else np.full(len(relation), -1))


def _estimator(model: Classifier | None) -> object:
    """Return how to train: as the model was, where that can be repeated; frozen incremental models cannot."""
    if model is not None and isinstance(model.estimator, BaseEstimator):
        return model.estimator
    return RandomForestClassifier(100, min_samples_leaf=2, random_state=0)


def _wait(error: InvalidDataError) -> AdviceStep:
    nothing = Step(AdviceAction.WAIT, "Wait for more rows", str(error))
    return _payload(nothing, ())


def _payload(step: Step, row_ids: tuple[str, ...]) -> AdviceStep:
    return AdviceStep(
        step.action,
        step.title,
        step.reason,
        gain=step.gain.value,
        gain_low=step.gain.low,
        gain_high=step.gain.high,
        cost_labels=float(step.cost_labels),
        cost_minutes=step.cost_minutes,
        count=step.count or None,
        target=step.target,
        condition=step.condition,
        columns=step.columns,
        rows=tuple(row_ids[place] for place in step.rows[:NAMED_ROWS].tolist()),
        evidence=dict(step.evidence),
    )
