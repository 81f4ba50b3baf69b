"""One trial, from rows to a stored model file: what a worker process runs."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.artifacts import ArtifactStore, Stored, dump
from easeml.automl.training import train
from easeml.errors import BudgetExhaustedError, Busy, EaseMLError, UnavailableError
from easeml.relation import Relation, features
from easeml.stream.payloads import Column, TrialAssigned


class Labelled(NamedTuple):
    """Rows and their labels.

    Parameters
    ----------
    frame : DataFrame, n rows
        Features.
    labels : int32[n]
        Codes of the app's classes, -1: unknown.
    """

    frame: pd.DataFrame
    labels: NDArray[np.int32]


def labelled(relation: Relation) -> Labelled:
    """Return rows as a trial sees them: each at its most probable."""
    block = relation.most_probable_world().block
    return Labelled(features(block), block.labels)


@dataclass(frozen=True, slots=True)
class Result:
    """How a trial ended.

    Parameters
    ----------
    cpu_seconds : float
        CPU seconds spent, training and writing.
    stored : Stored or None
        The model file; None when the trial failed.
    metrics : dict of str to float
        Validation metrics.
    error : str or None
        What failed, where, how to mend it.
    """

    cpu_seconds: float
    stored: Stored | None = None
    metrics: dict[str, float] | None = None
    error: str | None = None


def seed_of(trial: str) -> int:
    """Return the seed of a trial: the same trial draws the same numbers on every machine.

    >>> seed_of("t1") == seed_of("t1") != seed_of("t2")
    True
    """
    return int.from_bytes(hashlib.sha256(trial.encode()).digest()[:4])


def run(
    trial: TrialAssigned,
    train_rows: Labelled,
    validation_rows: Labelled,
    columns: tuple[Column, ...],
    classes: tuple[str, ...],
    store: tuple[str, int],
) -> Result:
    """Train, score and store; any failure of the algorithm is a result, not an exception.

    Parameters
    ----------
    trial : TrialAssigned
        What to train.
    train_rows, validation_rows : Labelled
        Data.
    columns, classes : tuple
        Feature columns and label domain of the app.
    store : tuple of (str, int)
        URI of the artifact store and the bytes a model file may have.

    Raises
    ------
    Busy
        When the artifact store cannot be written: the trial is worth repeating.
    """
    started = time.process_time()
    try:
        with cpu_limit(trial.lease_seconds):
            trained = train(
                *train_rows,
                *validation_rows,
                columns=columns,
                classes=classes,
                family=trial.family,
                parameters=trial.parameters,
                seed=seed_of(trial.trial),
                clock=time.process_time,
            )
        stored = ArtifactStore(*store).put(dump(trained.model))
    except UnavailableError as error:
        raise Busy(error.message, mend=error.mend) from error
    except EaseMLError as error:
        return Result(time.process_time() - started, error=f"{trial.algorithm} ({trial.family}): {error}")
    except Exception as error:
        # An algorithm may raise anything on data it was not made for; that is the trial's outcome.
        text = f"{trial.algorithm} ({trial.family}) failed with {type(error).__name__}: {str(error)[:500]}."
        return Result(time.process_time() - started, error=f"{text} Look at the data, or announce other parameters.")
    metrics = {
        "accuracy": trained.accuracy,
        "log_loss": trained.log_loss,
        "cpu_seconds": trained.cpu_seconds,
        "train_rows": float(len(train_rows.labels)),
        "validation_rows": float(len(validation_rows.labels)),
    }
    return Result(time.process_time() - started, stored, metrics)


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise BudgetExhaustedError in the block once it has used this many CPU seconds.

    A training that never ends would hold up every app of its partition. Signals reach the main thread alone; that is
    where worker processes run their jobs.
    """
    if threading.current_thread() is not threading.main_thread() or not seconds > 0:
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        raise BudgetExhaustedError(
            f"The training used up its {seconds:g} CPU seconds.", mend="Announce a cheaper algorithm, or train on less."
        )

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def refuse(trial: TrialAssigned, lacking: int) -> Result:
    """Return the failure of a trial whose rows did not come."""
    return Result(
        0.0,
        error=f"{trial.algorithm} ({trial.family}): {lacking} of the rows announced by version {trial.data_version!r} "
        "never came or were refused. Look at the dead letters of data.train and data.validation, and publish again.",
    )
