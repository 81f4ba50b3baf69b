"""From data to evidence: every experiment that advice rests on, run once over the same rows."""

from __future__ import annotations

import numpy as np

from easeml.advisor.adaptation import adapt, find_shift
from easeml.advisor.coverage import uncovered
from easeml.advisor.curve import learning_curve
from easeml.advisor.damage import label_noise, missing_cells
from easeml.advisor.estimate import Estimate, difference, share
from easeml.advisor.evidence import Cleaning, Evidence, Feasibility, Production, Values, Verdicts
from easeml.advisor.learning import Floats, Learner, Sample, cross_fit, right
from easeml.advisor.mending import broken_slices
from easeml.artifacts import Classifier
from easeml.errors import InvalidDataError

FEWEST = 20
"""Labelled rows that training and judging need at least, and production rows that are looked at."""


def diagnose(
    learner: Learner,
    train: Sample,
    validation: Sample,
    *,
    target: float,
    rng: np.random.Generator,
    model: Classifier | None = None,
    production: Sample | None = None,
    pool: int = 0,
    feasibility: Feasibility | None = None,
    cleaning: Cleaning | None = None,
    values: Values | None = None,
    verdicts: Verdicts | None = None,
) -> Evidence:
    """Look for everything that keeps an app from its target.

    Parameters
    ----------
    learner : Learner
        How the app's best model is trained.
    train, validation : Sample
        Rows; those without a label are left out. Validation labels are certain.
    target : float
        Accuracy that the user wants, in (0, 1).
    rng : Generator
        Source of every random choice.
    model : Classifier, optional
        The present model; without it, the learner is trained on the training rows.
    production : Sample, optional
        Recent production rows, looked at from ``FEWEST`` on; a label of -1 means that nobody was asked. Weights say
        what an answer stands for.
    pool : int
        Unlabelled rows that the user has.
    feasibility, cleaning, values, verdicts
        Reports of other services.

    Raises
    ------
    InvalidDataError
        When the target is not in (0, 1), there are too few rows or only one class.
    """
    train, validation = train.labelled(), validation.labelled()
    _check(train, validation, target)
    model = learner.fit(train) if model is None else model
    now = right(model, validation)
    judged, judgements = validation, now
    seen = None
    if production is not None and len(production) >= FEWEST:
        seen = _production(learner, model, train, validation, production, now, rng)
        answered = production.labelled()
        if len(answered) >= FEWEST:
            judged, judgements = validation.joined(answered), np.concatenate([now, right(model, answered)])
    crossed = cross_fit(learner, train, validation, rng)
    slices = broken_slices(learner, train, judged, judgements, rng)
    noise = label_noise(learner, train, validation, crossed, now, rng)
    if noise is not None and slices and slices[0].stale:
        # Wrong labels that are mostly those of a broken slice are no second fault.
        noise = None if np.isin(noise.suspects, slices[0].train_rows).mean() > 0.5 else noise
    return Evidence(
        target=target,
        accuracy=weighted_share(now, validation.mass) if seen is None or not seen.answered else seen.accuracy,
        rows=len(train),
        pool=pool,
        noise=noise,
        missing=missing_cells(learner, train, validation, rng),
        curve=learning_curve(learner, train, validation, rng),
        slices=slices,
        production=seen,
        feasibility=feasibility,
        cleaning=cleaning,
        values=values,
        verdicts=verdicts,
    )


def _production(
    learner: Learner,
    model: Classifier,
    train: Sample,
    validation: Sample,
    production: Sample,
    now: Floats,
    rng: np.random.Generator,
) -> Production:
    answered = production.labelled()
    correct = right(model, answered)
    shift = find_shift(learner, model, train, validation, production, rng)
    accuracy = weighted_share(correct, answered.mass)
    expected = weighted_share(now, validation.mass * shift.covariate.weights[len(train) :])
    far = uncovered(model.encoder.transform(train.frame), model.encoder.transform(production.frame))
    return Production(
        rows=len(production),
        answered=len(answered),
        mistakes=int(len(correct) - correct.sum()),
        accuracy=accuracy,
        shift=shift,
        uncovered=np.flatnonzero(far).astype(np.int64),
        concept=difference(expected, accuracy) if len(answered) else Estimate(0.0, -1.0, 1.0),
        adapted=tuple(adapt(learner, model, train, validation, production, shift, rng)),
    )


def weighted_share(hits: Floats, weights: Floats) -> Estimate:
    """Return the weighted mean of hits in [0, 1], with the Wilson interval of as many rows as the weights are worth."""
    if not len(hits):
        return share(0.0, 0.0)
    portion = weights / weights.sum()
    effective = 1 / float(portion @ portion)
    return share(float(portion @ hits) * effective, effective)


def _check(train: Sample, validation: Sample, target: float) -> None:
    if not 0 < target < 1:
        raise InvalidDataError(f"The target accuracy is {target}.", mend="It must be between 0 and 1, e.g. 0.85.")
    for name, sample in (("train", train), ("validation", validation)):
        if len(sample) < FEWEST:
            raise InvalidDataError(
                f"The pillar {name} has {len(sample)} labelled rows.", mend=f"Publish at least {FEWEST}."
            )
    if len(np.unique(train.labels)) < 2:
        raise InvalidDataError(
            "All training rows have one class.", mend="Publish labelled rows of at least two classes."
        )
