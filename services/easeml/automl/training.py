"""Train one algorithm on one version of the data: pure, single-threaded, reproducible.

The model learns from all training rows, also those by which a committee chose its members in folds, and from no
validation row, not even once it is chosen: the advisor, the market and whoever picks a model go on judging it by them.

Source: the trial of ease.ml's "fit one model for one user" step, Li et al., PVLDB 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.artifacts import Classifier, Encoder
from easeml.automl.committee import Committee
from easeml.automl.ensemble import score
from easeml.automl.families import build, fitted
from easeml.automl.race import Memory, single_threaded
from easeml.errors import InvalidDataError
from easeml.stream.payloads import Column

Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What a trial produced.

    Parameters
    ----------
    model : Classifier
        The fitted classifier.
    accuracy : float
        Share of validation rows it labels right, in [0, 1].
    log_loss : float
        Mean -ln of the probability of the right class (at least 1e-6) over the validation rows, in nats.
    cpu_seconds : float
        CPU seconds of fitting and scoring.
    judged_rows : int
        Rows that decided for it: the validation rows, and what a committee chose its members by.
    """

    model: Classifier
    accuracy: float
    log_loss: float
    cpu_seconds: float
    judged_rows: int


def train(
    train_frame: pd.DataFrame,
    train_labels: Labels,
    validation_frame: pd.DataFrame,
    validation_labels: Labels,
    *,
    columns: tuple[Column, ...],
    classes: tuple[str, ...],
    family: str,
    parameters: str,
    seed: int,
    clock: Callable[[], float],
    memory: Memory | None = None,
) -> TrainedModel:
    """Fit one algorithm and score it on the validation rows.

    Parameters
    ----------
    train_frame, validation_frame : DataFrame
        Feature rows.
    train_labels, validation_labels : int[n]
        Class codes; rows with -1 (unknown) are left out.
    columns : tuple of Column
        Feature columns to use.
    classes : tuple of str
        The app's whole label domain, in code order.
    family, parameters : str
        The algorithm; parameters as a JSON object.
    seed : int
        Seed of its random choices, in [0, 2^32).
    clock : callable
        CPU seconds of this process so far.
    memory : Memory, optional
        What a training of the same that was cut off has judged already; a committee goes on from there.

    Raises
    ------
    ConfigurationError
        When the family or a parameter is unknown.
    InvalidDataError
        When fewer than two classes have training rows or no validation row has a label.
    """
    started = clock()
    estimator = build(family, parameters, seed)
    if isinstance(estimator, Committee):
        estimator.memory = memory
    train_frame, codes = _labelled(train_frame, train_labels, len(classes), "train")
    validation_frame, truth = _labelled(validation_frame, validation_labels, len(classes), "validation")
    check_enough(codes, truth, len(classes))
    with single_threaded():
        encoder = Encoder().fit(train_frame, columns)
        model = Classifier(encoder, fitted(estimator, encoder.transform(train_frame), codes), classes)
        probabilities = model.predict_proba(validation_frame)
    accuracy, log_loss = score(probabilities, truth)
    judged_rows = len(truth) + (estimator.judged_rows if isinstance(estimator, Committee) else 0)
    return TrainedModel(model, accuracy, log_loss, clock() - started, judged_rows)


def _labelled(frame: pd.DataFrame, labels: Labels, classes: int, pillar: str) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    codes = np.asarray(labels, np.int64)
    if len(codes) != len(frame):
        raise InvalidDataError(
            f"The {pillar} pillar has {len(frame)} rows but {len(codes)} labels.", mend="Publish one label per row."
        )
    if len(codes) and codes.max() >= classes:
        raise InvalidDataError(
            f"The {pillar} pillar has the class code {codes.max()}, the app has {classes} classes.",
            mend="Publish codes of the app's classes, or define the app with all of them.",
        )
    known = codes >= 0
    return (frame, codes) if known.all() else (frame[known], codes[known])


def check_enough(codes: NDArray[np.int64], truth: NDArray[np.int64], classes: int) -> None:
    """Raise InvalidDataError when the rows have fewer than two of ``classes`` classes, or none is there to judge by."""
    present = len(np.unique(codes))
    if present < 2:
        raise InvalidDataError(
            f"The train rows have {present} of the {classes} classes.",
            mend="Publish labelled train rows of at least two classes.",
        )
    if not len(truth):
        raise InvalidDataError(
            "No validation row has a label.", mend="Publish labelled rows in the pillar 'validation'."
        )
