"""What a worker process does for the service: find what is wrong, say what to do, and store adapted models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from easeml.advisor.adaptation import Adapted
from easeml.advisor.diagnosis import diagnose
from easeml.advisor.evidence import Feasibility, Phase, Verdicts
from easeml.advisor.learning import Learner, Sample
from easeml.advisor.ranking import advise
from easeml.advisor.steps import Action, Step
from easeml.artifacts import ArtifactStore, Classifier, Stored, dump, load
from easeml.errors import Busy, InvalidDataError, UnavailableError
from easeml.relation import Relation, features
from easeml.stream.payloads import AdviceAction, AdvicePhase, AdviceStep, Column

MOST_ROWS = 3000
"""Rows of a pillar that are looked at; of more, as many are drawn."""
NAMED_ROWS = 100


@dataclass(frozen=True)
class Request:
    """What is asked of a worker.

    Parameters
    ----------
    phase : AdvicePhase
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
        URI and digest of the present model's file.
    feasibility : Feasibility, optional
    verdicts : Verdicts
    seed : tuple of int
    """

    phase: AdvicePhase
    target: float
    columns: tuple[Column, ...]
    classes: tuple[str, ...]
    train: Relation | None
    validation: Relation | None
    production: Relation | None
    pool: int
    model: tuple[str, str] | None
    feasibility: Feasibility | None
    verdicts: Verdicts
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Advised:
    """What a worker has found.

    Parameters
    ----------
    steps : tuple of AdviceStep
        The best first.
    adapted : tuple of (Adapted, Stored)
        Adapted models that are worth a step of CI, and where their files are.
    """

    steps: tuple[AdviceStep, ...]
    adapted: tuple[tuple[Adapted, Stored], ...] = ()


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
        train, validation = _drawn(request.train, "train", rng), _drawn(request.validation, "validation", rng)
        production = None if request.production is None else _drawn(request.production, "production", rng)
        files = ArtifactStore(*store)
        model = load(files.get(*request.model)) if request.model is not None else None
        evidence = diagnose(
            Learner(_estimator(model), request.columns, request.classes),
            _sample(train),
            _sample(validation),
            target=request.target,
            rng=rng,
            model=model,
            production=None if production is None else _sample(production),
            pool=request.pool,
            feasibility=request.feasibility,
            verdicts=request.verdicts,
        )
        steps = advise(evidence, Phase(request.phase))
        seen = evidence.production
        adapted = seen.adapted if seen is not None and request.phase is AdvicePhase.PRODUCTION else ()
        stored = tuple((one, files.put(dump(one.model))) for one in adapted)
    except UnavailableError as error:
        raise Busy(error.message, mend=error.mend) from error
    except InvalidDataError as error:
        return Advised((_wait(error),))
    names = {"train": train.row_ids, "production": () if production is None else production.row_ids}
    return Advised(tuple(_payload(step, names[step.pillar]) for step in steps), stored)


def _drawn(relation: Relation | None, pillar: str, rng: np.random.Generator) -> Relation:
    if relation is None:
        raise InvalidDataError(f"The pillar {pillar} holds no rows.", mend="Publish labelled rows.")
    if len(relation) <= MOST_ROWS:
        return relation
    return relation.take(np.sort(rng.choice(len(relation), MOST_ROWS, replace=False)))


def _sample(relation: Relation) -> Sample:
    """Return rows as they were observed, missing cells missing, with the most probable labels."""
    labels = relation.most_probable_world().labels.astype(np.int64)
    return Sample(features(relation.block), labels if len(labels) else np.full(len(relation), -1))


def _estimator(model: Classifier | None) -> object:
    return RandomForestClassifier(100, min_samples_leaf=2, random_state=0) if model is None else model.estimator


def _wait(error: InvalidDataError) -> AdviceStep:
    nothing = Step(Action.WAIT, "Wait for more rows", str(error))
    return _payload(nothing, ())


def _payload(step: Step, row_ids: tuple[str, ...]) -> AdviceStep:
    return AdviceStep(
        AdviceAction(step.action.value.lower()),
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
